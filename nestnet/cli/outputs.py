"""Write what a command shows to a file."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codegen.errors import UserError


def check(path: Path | None) -> Path | None:
    """Return ``path`` if a result can be written there, before any work is done for one.

    Raises:
        UserError: it cannot.
    """
    if path is None:
        return None
    parent = path.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if path.is_dir():
        raise _unwritable(path, "a folder")
    try:
        with tempfile.TemporaryFile(dir=parent):
            return path
    except OSError as error:
        raise _unwritable(path, error.strerror or error) from error


def write_json(path: Path | None, content: Mapping[str, Any]) -> None:
    """Write ``content`` as JSON to ``path``, as :func:`write` does.

    Raises:
        UserError: the path cannot be written.
    """
    write(path, json.dumps(content, indent=2) + "\n")


def write(path: Path | None, text: str) -> None:
    """Write ``text`` to ``path`` whole or not at all; do nothing without a path.

    Raises:
        UserError: the path cannot be written.
    """
    if path is None:
        return
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise _unwritable(path, error.strerror or error) from error


def _unwritable(path: Path, got: object) -> UserError:
    return UserError(
        str(path),
        "cannot write the result",
        got=got,
        expected="a path that can be written",
        action="Choose another path",
    )
