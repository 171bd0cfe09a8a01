"""``nestnet classify``: classify a photo at every level, with the bits of the device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codegen.emit import render
from codegen.graph import file as nestfile
from codegen.tasks.classification import TASK as classification
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
    from nestnet.cli.photo import read_photo  # imports pillow

    made = read_photo(photo, graph)
    answers = classification.answers(graph, made.image)
    title = "; ".join((f"{photo.name} on {graph.name}", *made.notes))
    levels = classification.as_json(graph, answers)
    tables.console().print(tables.answers(title, levels))
    if c_array is not None:
        digest = nestfile.file_sha256(model)
        text = render.image_header(graph, digest, photo.name, array, made.image, answers)
        outputs.write(c_array, text)
    outputs.write_json(json_path, {"photo": str(photo), "notes": made.notes, "levels": levels})
