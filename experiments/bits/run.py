"""Compare outputs and answers of every task, at every level: NumPy, this computer, emulated cores.

The answer is what a task's C makes of the outputs: boxes after suppression, masks, peaks, numbers,
labels, a class, how odd the input is. Networks are trained for seconds, to say something at all.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nestnet
from codegen import flow, tasks
from codegen.graph import file as nestfile
from experiments.bits import data
from experiments.common.markdown import table
from experiments.common.trainings import check_settings
from nestnet import config, runs
from nestnet.cli.device_images import device_images

COST = "some 15 minutes on one core; needs the four data sets"
TOOLS = ("gcc", "arm-none-eabi-gcc", "qemu-system-arm")
SEEDS = (0,)
MACHINES = {"host": "host C", "qemu_m4": "Cortex-M4", "qemu_m7": "Cortex-M7"}
INPUTS = 50
SPARSITY = (0.9, 0.7, 0.4)
MOST_NAMED = 0.5
"""Share of the inputs whose answers must name something, lest nothing be compared."""


@dataclass(frozen=True)
class Case:
    """One task, its data and its training."""

    title: str
    task: str
    source: str
    """Which data, made by the function of :mod:`experiments.bits.data` that ``made`` names."""
    made: str
    settings: Mapping[str, Any] = field(default_factory=dict)


_BOXES = {"dataset": "voc", "resize": data.CELLS_SIZE, "batch": 16}
CASES = {
    "classification": Case(
        "activities, HAPT", "classification", "activity", "activity",
        {"dataset": "windows", "epochs": 3},
    ),
    "multi_label": Case(
        "kinds of cells in a photo, BCCD", "multi_label", "cells", "labels",
        {"dataset": "arrays", "model": "mobilenetv1_96", "epochs": 6, "batch": 16},
    ),
    "regression": Case(
        "numbers of cells in a photo, BCCD", "regression", "cells", "counts",
        {"dataset": "arrays", "model": "mobilenetv1_96", "epochs": 6, "batch": 16},
    ),
    "segmentation": Case(
        "membranes, ISBI 2012", "segmentation", "membranes", "membranes",
        {"dataset": "masks", "resize": (data.MEMBRANES_SIZE,) * 2, "epochs": 4, "batch": 16},
    ),
    "heat_map": Case(
        "blood cells, BCCD", "heat_map", "cells", "cells",
        {**_BOXES, "task": "heat_map", "epochs": 4},
    ),
    "anomaly": Case(
        "defects of circuit boards, DeepPCB", "anomaly", "boards", "boards",
        {"dataset": "arrays", "task": "anomaly", "epochs": 2},
    ),
    "boxes": Case(
        "blood cells, BCCD", "detection", "cells", "cells",
        {**_BOXES, "model": "det_mobilenetv1", "epochs": 4},
    ),
    "boxes_of_anchors": Case(
        "blood cells, BCCD", "detection", "cells", "cells",
        {**_BOXES, "model": "ssdlite_mobilenetv2@0.2", "epochs": 4},
    ),
}  # fmt: skip
"""Detection twice: one box a cell of the map, and three or six of them."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the places of the data."""
    parser.add_argument(
        "--activity", type=Path, required=True, help="folder of HAPT's userUU_K.npy"
    )
    parser.add_argument("--cells", type=Path, required=True, help="folder of BCCD in VOC's layout")
    parser.add_argument("--membranes", type=Path, required=True, help="folder of images/, labels/")
    parser.add_argument("--boards", type=Path, required=True, help="folder of images/, labels/")
    parser.add_argument("--only", nargs="+", choices=tuple(CASES), default=list(CASES))
    parser.add_argument("--runs", type=Path, default=Path("runs") / "bits", help="run folders")


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Train what is not trained and run it on each machine; yield what is done so far."""
    rows: dict[str, dict[str, Any]] = {}
    for name, case in CASES.items():
        if name not in options.only:
            continue
        place = _place(case, vars(options)[case.source], options.runs / "data")
        folder = options.runs / name
        if folder.exists():
            check_settings(folder, {**case.settings, "sparsity": SPARSITY})
        if not (folder / runs.MODEL).is_file():
            nestnet.train(
                name=name, out=options.runs, data=place, sparsity=SPARSITY,
                **case.settings,
            )  # fmt: skip
        rows[name] = _about(folder)
        for board in MACHINES:
            rows[name]["machines"][board] = _levels(folder, board, place)
            yield {"inputs": INPUTS, "rows": rows}


def _place(case: Case, source: Path, made: Path) -> Path:
    """Return where the data of a case are, made where they are not there yet."""
    if case.made == "cells":
        return data.cells(source)
    make = {
        "activity": (data.activity, "activity"),
        "labels": (data.labels, "labels.npz"),
        "counts": (data.counts, "counts.npz"),
        "membranes": (data.membranes, "membranes"),
        "boards": (data.boards, "boards.npz"),
    }[case.made]
    made.mkdir(parents=True, exist_ok=True)
    place = made / make[1]
    return place if place.exists() else make[0](source, place)


def _about(folder: Path) -> dict[str, Any]:
    graph = nestfile.load(folder / runs.MODEL)
    task = tasks.of(graph)
    assert task is not None
    return {
        "task": task.name,
        "metric": task.metric,
        "model": graph.provenance.model,
        "input": graph.only_input.shape,
        "epochs": config.load(folder / runs.CONFIG).epochs,
        "machines": {},
    }


def _levels(folder: Path, board: str, place: Path) -> list[dict[str, Any]]:
    """Return what each level did on a machine; a finished machine is read again."""
    kept = folder / f"bits-{board}.json"
    digest = nestfile.file_sha256(folder / runs.MODEL)
    if kept.is_file():
        found = json.loads(kept.read_text(encoding="utf-8"))
        if found["network"] == digest:
            return list(found["levels"])
    test = device_images(folder / runs.MODEL, INPUTS, str(place))
    report = flow.run(
        folder / runs.MODEL, board, test.inputs, test.targets, out=folder / f"project-{board}"
    )
    keys = (
        "level", "sparsity", "images", "equal_outputs", "equal_answers", "named_answers",
        "distinct_answers", "accuracy_device",
    )  # fmt: skip
    levels = [{key: getattr(level, key) for key in keys} for level in report.levels]
    kept.write_text(json.dumps({"network": digest, "levels": levels}, indent=1), encoding="utf-8")
    return levels


def page(findings: Mapping[str, Any]) -> str:
    """Return the table of all tasks."""
    heads = ["task, data", "network", "level", "sparsity", "score", "not empty", "different"]
    heads += [f"{what}, {word}" for word in MACHINES.values() for what in ("outputs", "answers")]
    rows = []
    for name, row in findings["rows"].items():
        machines = [row["machines"].get(board) for board in MACHINES]
        for index, first in enumerate(row["machines"]["host"]):
            title = f"{row['task']}: {CASES[name].title}"
            network = f"{row['model']}, {'x'.join(map(str, row['input']))}"
            cells = ["", ""] if index else [title, network]
            cells += [first["level"], f"{first['sparsity']:.0%}"]
            cells += [f"{row['metric'].split(' (')[0]} {first['accuracy_device']:.2f}"]
            cells += [first["named_answers"], first["distinct_answers"]]
            for levels in machines:
                key = ("equal_outputs", "equal_answers")
                cells += ["", ""] if levels is None else [levels[index][k] for k in key]
            rows.append(cells)
    epochs = max(row["epochs"] for row in findings["rows"].values())
    return f"""# The same bits and the same answers

{findings["inputs"]} test inputs of each task, at every level. NumPy's integer reference and its
twin of the task say what is right; the other columns count inputs of which all bytes of the
outputs, and all bytes of the answer that the task's C gives, are equal to that on a machine.
Not empty: inputs to which the answer names anything, a box, a peak, a label, or more than one
class of a mask; different: how many of the answers differ from each other.

{table(heads, rows)}

The networks were trained for {epochs} epochs at most, with one seed: the scores say nothing of what
they could reach.
"""


def problems(findings: Mapping[str, Any]) -> list[str]:
    """Return what differs, and what compares nothing."""
    found, inputs = [], findings["inputs"]
    for name, row in findings["rows"].items():
        for board, levels in row["machines"].items():
            for level in levels:
                where = f"{name}, {board}, level {level['level']}"
                if level["images"] != inputs:
                    found.append(f"{where}: {level['images']} inputs in place of {inputs}")
                for what in ("outputs", "answers"):
                    if level[f"equal_{what}"] != level["images"]:
                        count = level["images"] - level[f"equal_{what}"]
                        found.append(f"{where}: {count} {what} differ")
                if level["named_answers"] < MOST_NAMED * inputs or level["distinct_answers"] < 2:
                    found.append(f"{where}: the answers say nothing")
    return found
