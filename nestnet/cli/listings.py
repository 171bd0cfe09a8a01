"""The commands that list what there is and explain what a file holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from codegen.target import boards as board_files
from nestnet import datasets
from nestnet.cli import info, outputs, tables

JsonOption = Annotated[
    Path | None,
    typer.Option("--json", callback=outputs.check, help="Also write the result here."),
]


def list_models(json_path: JsonOption = None) -> None:
    """List the shipped models."""
    from nestnet import models as shipped  # imports torch

    rows = [(name, shipped.describe(name)) for name in shipped.names()]
    tables.console().print(tables.names("Models", rows, ("name", "what it is")))
    print("Your own: --model path/to/file.py:factory, called as factory(input_shape, classes)")
    outputs.write_json(json_path, dict(rows))


def list_datasets(json_path: JsonOption = None) -> None:
    """List the data sets."""
    rows = [(name, datasets.describe(name)) for name in datasets.names()]
    tables.console().print(tables.names("Data sets", rows, ("name", "what it is")))
    outputs.write_json(json_path, dict(rows))


def list_boards(json_path: JsonOption = None) -> None:
    """List the boards."""
    known = [board_files.load(name) for name in board_files.names()]
    rows = [
        (
            board.id,
            board.title,
            "-" if board.is_host else tables.count(board.linked("flash").size_bytes),
            "-" if board.is_host else tables.count(board.linked("ram").size_bytes),
            board.status,
        )
        for board in known
    ]
    columns = ("name", "what it is", "flash bytes", "RAM bytes", "status")
    tables.console().print(tables.names("Boards", rows, columns))
    outputs.write_json(json_path, {board.id: asdict(board) for board in known})


def show_info(
    file: Annotated[Path, typer.Argument(help="Any file or folder that nestnet wrote.")],
    json_path: JsonOption = None,
) -> None:
    """Say what a file or folder of nestnet holds."""
    kind, facts = info.describe(file)
    tables.console().print(tables.facts(f"{file}: {kind}", facts))
    outputs.write_json(json_path, {"kind": kind, **facts})


COMMANDS: Mapping[str, Callable[..., Any]] = {
    "models": list_models,
    "datasets": list_datasets,
    "boards": list_boards,
    "info": show_info,
}
"""By the name on the command line."""
