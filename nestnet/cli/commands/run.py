"""``nestnet run``: run test images on a board; compare all bits."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from codegen import flow, tasks
from codegen.graph import file as nestfile
from codegen.target.target import Choices, resolve
from nestnet import runs
from nestnet.cli import options as arguments
from nestnet.cli import outputs, tables
from nestnet.cli.device_images import device_images
from nestnet.cli.options import (
    BoardOption,
    CodecsOption,
    DataOption,
    DecodeOption,
    ImagesOption,
    JsonOption,
    KernelsOption,
    OptimizeOption,
    OutOption,
    PlaceOption,
    ProbeOption,
    RunOption,
)
from nestnet.notices import notice


def command(
    board: BoardOption = "host",
    run: RunOption = None,
    images: ImagesOption = 200,
    data: DataOption = "",
    levels: Annotated[str | None, typer.Option("--levels", help="As in 0,3; else all.")] = None,
    probe: ProbeOption = None,
    out: OutOption = None,
    kernels: KernelsOption = "nestnet",
    optimize: OptimizeOption = None,
    codecs: CodecsOption = None,
    decode: DecodeOption = "inference",
    place: PlaceOption = None,
    json_path: JsonOption = None,
) -> None:
    """Run test images on a board; compare all bits, and the answers that C makes of them."""
    said = Choices(kernels=kernels, optimize=optimize, codecs=codecs, decode=decode, place=place)
    resolve(board, **said)
    model = runs.model_file(run)
    flow.runnable(board)
    outputs.refuse_inputs([json_path], outputs.settings_of(model))
    test = device_images(model, images, data)
    chosen = arguments.levels(levels)
    with tables.working(f"{test.count} images on {board}"):
        report = flow.run(
            model,
            board,
            test.inputs,
            test.targets,
            levels=chosen,
            out=out,
            probe=probe,
            **said,
        )
    title = f"{report.network}, {test.title}"
    task = tasks.of(nestfile.load(model))
    metric = "accuracy" if task is None else task.metric
    shown = {report.board: report.as_json()}
    tables.console().print(tables.device_levels(title, shown, metric))
    if test.targets is not None and task is not None:
        if task.has_classes:
            tables.console().print(tables.classes(report.as_json()))
        elif report.levels[0].details.get("rows"):
            tables.console().print(tables.details(report.as_json()))
    for level in report.levels:
        if level.named_answers == 0:
            notice(
                f"level {level.level} names nothing in any of the images, so that its equal "
                "answers say little: train longer, or give other images"
            )
    outputs.write_json(json_path, report.as_json())
    if not report.bit_exact:
        for difference in report.differences:
            print(f"{board}: not bit-exact: {difference}", file=sys.stderr)
        raise typer.Exit(1)
