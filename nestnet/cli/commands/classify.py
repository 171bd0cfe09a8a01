"""``nestnet classify``: classify a photo at every level, with the bits of the device."""

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
    json_path: JsonOption = None,
) -> None:
    """Classify a photo at every level, on this computer, with the bits of the device."""
    model = runs.model_file(run)
    array = c_arrays.name_in(c_array)
    graph = nestfile.load(model)
    task = _task(graph)
    from nestnet.cli.photo import read_photo  # imports pillow

    made = read_photo(photo, graph)
    answers = task.answers(graph, made.image)
    title = "; ".join((f"{photo.name} on {graph.name}", *made.notes))
    levels = task.as_json(graph, answers)
    tables.console().print(tables.answers(title, levels))
    if c_array is not None:
        digest = nestfile.file_sha256(model)
        text = render.image_header(graph, digest, photo.name, array, made.image, answers)
        outputs.write(c_array, text)
    outputs.write_json(json_path, {"photo": str(photo), "notes": made.notes, "levels": levels})


def _task(graph: Graph) -> tasks.Task:
    """Return the task of ``graph``; refuse a network that does not choose among classes."""
    task = tasks.of(graph)
    if task is None or not task.has_classes:
        outputs = map(graph.value, graph.outputs)
        fitting = (known.fitting for known in tasks.TASKS.values() if known.has_classes)
        raise UserError(
            f"network {graph.name}",
            "it chooses no class",
            got=", ".join(f"{out.meaning} {'x'.join(map(str, out.shape))}" for out in outputs),
            expected="; or ".join(fitting),
            action="Choose a network that classifies, or compare all outputs with `nestnet run`",
        )
    return task
