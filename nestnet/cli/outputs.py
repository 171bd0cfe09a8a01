"""Write what a command shows to a file, and to no file that nestnet or the command reads."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from codegen.errors import UserError
from codegen.target import manifest
from nestnet import config, runs

_OUTPUTS = "nestnet.outputs"


class Command(TyperCommand):
    """A command none of whose options that write a file may name one that another argument names.

    Options that write a file are those with the callback :func:`check`.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command, unless it would overwrite what it reads.

        Raises:
            UserError: it would.
        """
        written: dict[str, Path] = ctx.meta.get(_OUTPUTS, {})
        made = {*written, "out"}
        refuse_inputs(written.values(), [v for key, v in ctx.params.items() if key not in made])
        for name, path in written.items():
            others = [other for key, other in written.items() if key != name]
            if any(path.resolve() == other.resolve() for other in others):
                raise _precious(path, "another result of this command")
        return super().invoke(ctx)


def check(context: typer.Context, option: typer.CallbackParam, path: Path | None) -> Path | None:
    """Return ``path`` if a result can be written there, before any work is done for one.

    Raises:
        UserError: it cannot.
    """
    if path is None:
        return None
    context.meta.setdefault(_OUTPUTS, {})[option.name] = path
    _refuse_ours(path)
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


def refuse_inputs(written: Iterable[Path | None], read: Iterable[object]) -> None:
    """Refuse to write over a file that the command reads.

    Args:
        written: where results go; None is nowhere.
        read: values of arguments and settings; those that name no file do not matter. Of a folder
            no file may be overwritten, unless a command wrote the folder.

    Raises:
        UserError: a path of ``written`` is one of ``read``, or lies in one.
    """
    texts = [str(value) for value in read if isinstance(value, str | Path)]
    texts += [text.rpartition(":")[0] for text in texts]  # path/to/file.py:factory
    sources = [Path(text) for text in texts if text and os.path.exists(text)]
    for path in (path for path in written if path is not None and path.exists()):
        for source in sources:
            inside = _is_data(source) and path.resolve().is_relative_to(source.resolve())
            if inside or path.samefile(source):
                raise _precious(path, "a file that this command reads")


def settings_of(model: Path) -> tuple[str, ...]:
    """Return the paths in the configuration of the run that ``model`` lies in, if in any."""
    file = model.parent / runs.CONFIG
    if not file.is_file():
        return ()
    trained = config.load(file)
    return trained.data, trained.model


def _is_data(folder: Path) -> bool:
    ours = (runs.CONFIG, manifest.MARKER)
    return folder.is_dir() and not any((folder / name).exists() for name in ours)


def _refuse_ours(path: Path) -> None:
    """Refuse a network, a file that a run lives on, or one that a generated project consists of."""
    if not path.exists():
        return
    path = path.resolve()
    of_run = (runs.CONFIG, runs.METRICS, runs.CHECKPOINT, runs.MODEL)
    if path.suffix == ".nestnet":
        raise _precious(path, "a network")
    if path.name in of_run and (path.parent / runs.CONFIG).is_file():
        raise _precious(path, f"a file of the run {path.parent.name}")
    for folder in path.parents:
        marker = folder / manifest.MARKER
        if path == marker or path in [folder / name for name in manifest.listed(folder)]:
            raise _precious(path, f"a file of the generated project {folder.name}")


def write_json(path: Path | None, content: Mapping[str, Any]) -> None:
    """Write ``content`` as JSON to ``path``, as :func:`write` does.

    Raises:
        UserError: the path cannot be written.
    """
    write(path, json.dumps(content, indent=2) + "\n")


def write(path: Path | None, content: str | bytes) -> None:
    """Write ``content`` to ``path`` whole or not at all; do nothing without a path.

    Raises:
        UserError: the path cannot be written.
    """
    if path is None:
        return
    _refuse_ours(path)
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(partial, path)
    except OSError as error:
        raise _unwritable(path, error.strerror or error) from error


def _precious(path: Path, got: str) -> UserError:
    return UserError(
        str(path),
        "the result would overwrite another file",
        got=got,
        expected="a new file, or one with an earlier result",
        action="Choose another path",
    )


def _unwritable(path: Path, got: object) -> UserError:
    return UserError(
        str(path),
        "cannot write the result",
        got=got,
        expected="a path that can be written",
        action="Choose another path",
    )
