"""``nestnet predict``: what every level answers to a photo, with the bits of the device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codegen import tasks
from codegen.emit import render
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.ir import Graph
from nestnet import runs
from nestnet.cli import c_array as c_arrays
from nestnet.cli import outputs, tables
from nestnet.cli.options import JsonOption, RunOption


def command(
    photo: Annotated[Path, typer.Argument(help="Image file.")],
    run: RunOption = None,
    c_array: Annotated[
        Path | None,
        typer.Option(callback=outputs.check, help="Write image and answers here, as a C header."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(callback=outputs.check, help="Draw the densest level's answer here, a PNG."),
    ] = None,
    json_path: JsonOption = None,
) -> None:
    """Answer to a photo at every level, on this computer, with the bits of the device."""
    model = runs.model_file(run)
    array = c_arrays.name_in(c_array)
    graph = nestfile.load(model)
    task = _task(graph)
    from nestnet.cli.photo import png, read_photo  # imports pillow

    any_size = task.takes_any_size(graph)
    made = read_photo(photo, graph, whole=task.keeps_proportions, any_size=any_size)
    if c_array is not None and made.image.shape != graph.only_input.shape:
        raise UserError(
            "--c-array",
            "holds one input of the network, and this photo is taken in tiles",
            got="x".join(map(str, made.image.shape[:2])),
            expected="x".join(map(str, graph.only_input.shape[:2])) + ", a single tile",
            action="Leave it out; --picture and --json show the mask of the whole photo",
        )
    answers = task.answers(graph, made.image)
    drawn = None
    if picture is not None:
        drawn = task.picture(graph, made.pixels, answers[-1])
        if drawn is None:
            raise UserError(
                "--picture",
                f"there is nothing to draw of a {task.name}",
                got=str(picture),
                expected="no --picture",
                action="Leave it out: the answer is in the table",
            )
    title = "; ".join((f"{photo.name} on {graph.name}", *made.notes))
    levels = task.on_photo(task.as_json(graph, answers), tasks.Frame(*made.placed))
    show = tables.answers if task.has_classes else tables.rows_of_levels
    tables.console().print(show(title, levels))
    if c_array is not None:
        digest = nestfile.file_sha256(model)
        text = render.image_header(graph, digest, photo.name, array, made.image, answers)
        outputs.write(c_array, text)
    if picture is not None and drawn is not None:
        outputs.write(picture, png(drawn))
    outputs.write_json(json_path, {"photo": str(photo), "notes": made.notes, "levels": levels})


def _task(graph: Graph) -> tasks.Task:
    """Return the task of ``graph``; refuse a network of which none is known."""
    task = tasks.of(graph)
    if task is None:
        values = map(graph.value, graph.outputs)
        raise UserError(
            f"network {graph.name}",
            "its file does not say what its outputs mean",
            got=", ".join(f"{out.meaning} {'x'.join(map(str, out.shape))}" for out in values),
            expected="a task, one of " + ", ".join(tasks.TASKS),
            action="Export it with its task, or compare all outputs with `nestnet run`",
        )
    return task
