"""``nestnet build``: compile a project; show its flash and RAM."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from codegen import flow
from codegen.target.target import Choices, resolve
from nestnet import runs
from nestnet.cli import outputs, tables
from nestnet.cli.options import (
    CodecsOption,
    DecodeOption,
    JsonOption,
    KernelsOption,
    OptimizeOption,
    OutOption,
    PlaceOption,
    RunOption,
)


def command(
    board: Annotated[
        str | None, typer.Option(help="Or a TOML file; without, the newest project.")
    ] = None,
    run: RunOption = None,
    out: OutOption = None,
    kernels: KernelsOption = "nestnet",
    optimize: OptimizeOption = None,
    codecs: CodecsOption = None,
    decode: DecodeOption = "inference",
    place: PlaceOption = None,
    json_path: JsonOption = None,
) -> None:
    """Compile a project; show its flash and RAM."""
    said = Choices(kernels=kernels, optimize=optimize, codecs=codecs, decode=decode, place=place)
    resolve(board or "host", **said)
    if board:
        folder = flow.prepare(runs.model_file(run), board, out, cycles=flow.AUTO, **said)
    else:
        folder = out or flow.newest_project()
    with tables.working(f"compiling {folder}"):
        built = flow.build(folder)
    title = f"{built.info.network} on {built.board.title} ({built.board.status})"
    tables.console().print(tables.sizes(title, asdict(built.sizes)))
    tables.console().print(str(built.firmware_elf))
    outputs.write_json(
        json_path, {"board": built.board.id, "elf": str(built.firmware_elf), **asdict(built.sizes)}
    )
