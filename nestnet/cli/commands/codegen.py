"""``nestnet codegen``: write a self-contained C project for a board."""

from __future__ import annotations

from typing import Annotated

import typer

from codegen import flow
from codegen.target import manifest
from codegen.target.target import Choices, resolve
from nestnet import runs
from nestnet.cli import outputs, tables
from nestnet.cli.options import (
    CodecsOption,
    DecodeOption,
    JsonOption,
    KernelsOption,
    NameOption,
    OptimizeOption,
    OutOption,
    PlaceOption,
    RunOption,
)


def command(
    board: Annotated[str, typer.Option(help="See nestnet boards; or a TOML file.")] = "",
    run: RunOption = None,
    out: OutOption = None,
    kernels: KernelsOption = "nestnet",
    optimize: OptimizeOption = None,
    codecs: CodecsOption = None,
    decode: DecodeOption = "inference",
    place: PlaceOption = None,
    cycles: Annotated[
        str, typer.Option(help="For nn_fit_cycles: auto | analytic | JSON of bench or of run.")
    ] = "auto",
    name: NameOption = None,
    json_path: JsonOption = None,
) -> None:
    """Write a self-contained C project for a board."""
    said = Choices(kernels=kernels, optimize=optimize, codecs=codecs, decode=decode, place=place)
    resolve(board, **said)
    with tables.working(f"estimating cycles on {board}" if cycles == "auto" else board):
        folder = flow.codegen(runs.model_file(run), board, out, cycles=cycles, name=name, **said)
    facts = manifest.read_info(folder)
    tables.console().print(
        f"{folder}: {len(facts.layers)} layers, {len(facts.levels)} levels, "
        f"{tables.count(facts.weights_bytes)} bytes of weights "
        f"({tables.percent(facts.weights_bytes / facts.execution_bytes)} of what kernels read), "
        f"{tables.count(facts.arena_bytes)} bytes of arena; cycles: {facts.cycles_source}"
    )
    outputs.write_json(json_path, {"project": str(folder), **facts.as_json()})
