"""``nestnet bench``: show what every layer costs at every level on a board."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codegen import flow
from codegen.target.target import Choices, resolve
from nestnet import config, runs
from nestnet.cli import bench_source, bench_tables, outputs, tables
from nestnet.cli import options as arguments
from nestnet.cli.options import (
    BoardOption,
    CodecsOption,
    DataOption,
    DecodeOption,
    JsonOption,
    KernelsOption,
    OptimizeOption,
    OutOption,
    PlaceOption,
    RunOption,
)


def command(
    context: typer.Context,
    board: BoardOption = "qemu_m4",
    run: RunOption = None,
    untrained: Annotated[
        bool, typer.Option("--untrained", help="Random weights: size and speed before training.")
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="With --untrained: NAME@WIDTH or path/to/file.py:factory.")
    ] = None,
    levels: Annotated[int | None, typer.Option(help="With --untrained: nested levels.")] = None,
    sparsity: Annotated[
        str | None, typer.Option(help="With --untrained: 0.9,0.5; 0 alone is dense.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="With --untrained: 1x4 | 1x2 | 1x1.")] = None,
    allocation: Annotated[
        str | None, typer.Option(help="With --untrained: " + " | ".join(config.ALLOCATIONS))
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="With --untrained: of all that is random.")
    ] = None,
    input_shape: Annotated[
        str | None, typer.Option(help="With --untrained: HEIGHTxWIDTHxCHANNELS.")
    ] = None,
    classes: Annotated[int | None, typer.Option(help="With --untrained: logits.")] = None,
    images: Annotated[int, typer.Option("--images", help="Images to average over.")] = 1,
    data: DataOption = "",
    out: OutOption = None,
    kernels: KernelsOption = "nestnet",
    optimize: OptimizeOption = None,
    codecs: CodecsOption = None,
    decode: DecodeOption = "inference",
    place: PlaceOption = None,
    csv_path: Annotated[
        Path | None,
        typer.Option("--csv", callback=outputs.check, help="Also write every row here."),
    ] = None,
    json_path: JsonOption = None,
) -> None:
    """Show what every layer costs at every level on a board.

    Instructions are counted on an emulated core, cycles are estimated from them: not measured.
    """
    said = Choices(kernels=kernels, optimize=optimize, codecs=codecs, decode=decode, place=place)
    resolve(board, **said)
    options = {
        "model": model,
        "sparsity": arguments.sparsity(sparsity, levels),
        "group": group,
        "allocation": allocation,
        "seed": seed,
        "input_shape": arguments.input_shape(input_shape),
        "classes": classes,
    }
    if untrained:
        bench_source.refuse_trained_options(arguments.given(context))
        source = bench_source.untrained(options, images)
    else:
        bench_source.refuse_untrained_options(arguments.given(context))
        trained = runs.model_file(run)
        outputs.refuse_inputs([csv_path, json_path], outputs.settings_of(trained))
        source = bench_source.trained(trained, images, data)
    with tables.working(f"{len(source.inputs[0])} images on {board}"):
        result = flow.bench(source.model, board, source.inputs, out=out, **said)
    tables.console().print(bench_tables.as_table(result))
    outputs.write(csv_path, bench_tables.as_csv(result))
    outputs.write_json(json_path, result.as_json())
