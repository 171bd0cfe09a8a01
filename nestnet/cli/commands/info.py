"""``nestnet info``: say what a file or folder of nestnet holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nestnet.cli import info, outputs, tables
from nestnet.cli.options import JsonOption


def command(
    file: Annotated[
        Path, typer.Argument(help="Any file or folder that nestnet wrote; a board, chip or core.")
    ],
    json_path: JsonOption = None,
) -> None:
    """Say what a file or folder of nestnet holds, or what a board, chip or core is."""
    kind, facts = info.describe(file)
    tables.console().print(tables.facts(f"{file}: {kind}", facts))
    outputs.write_json(json_path, {"kind": kind, **facts})
