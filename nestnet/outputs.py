"""Write what a command shows to a file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codegen.errors import UserError


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
        raise UserError(
            str(path),
            "cannot write the result",
            got=error.strerror or error,
            expected="a path that can be written",
            action="Choose another path",
        ) from error
