"""Train every task on public data: accuracy of each level as deployed, and what it costs on boards.

The accuracy is that of the integer reference on all test data: the bytes that C computes, which is
compared on the host for all of them and on the emulated Cortex-M4 for some.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from codegen import flow
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.sources.quantizer import Int16Source
from codegen.target.placement import DoesNotFit
from experiments.common.cycles import least
from experiments.common.trainings import check_settings
from experiments.tasks import data
from experiments.tasks.report import BOARDS, ON_CORE, PRICED
from experiments.tasks.report import page as page
from experiments.tasks.report import problems as problems
from experiments.tasks.trainings import TRAININGS, Training
from nestnet import datasets, runs
from nestnet.api import resume, train
from nestnet.cli.device_images import device_images
from tests.support.firmware.sources import heard

COST = "some two hours, trainings included; needs five data sets"
TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")
SEEDS = (0,)

ALL = 1_000_000
HEARD = 6
"""Recordings that C hears, on the host and on the emulated core."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the places of the data."""
    parser.add_argument("--activity", type=Path, required=True, help="folder of userUU_K.npy")
    parser.add_argument("--words", type=Path, required=True, help="folder of the .wav files")
    parser.add_argument("--beats", type=Path, required=True, help="folder of NNN.npy and NNN.csv")
    parser.add_argument("--cells", type=Path, required=True, help="folder of images/ and labels/")
    parser.add_argument("--defects", type=Path, required=True, help="folder of the VOC files")
    parser.add_argument("--runs", type=Path, default=Path("runs") / "tasks", help="run folders")


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Train what is not trained, then measure; what is done of a run is kept in its folder."""
    places = data.places(options, options.runs / "data")
    rows = {}
    for training in TRAININGS:
        place = places[training.data]
        folder = _trained(training, options.runs, place)
        reached = _once(folder / "reached.json", partial(_reached, folder, place))
        costs = _once(folder / "costs.json", partial(_costs, folder, place))
        rows[training.name] = {**reached, "boards": costs}
    yield {"rows": rows, "heard": _heard(places["words"], options.runs / "words")}


def _trained(training: Training, root: Path, place: Path) -> Path:
    """Return the folder of a finished run."""
    folder = root / training.name
    if folder.exists():
        check_settings(folder, training.settings)
    if (folder / runs.MODEL).is_file():
        return folder
    if (folder / runs.CHECKPOINT).is_file():
        return resume(folder)
    start = str(root / training.after) if training.after else ""
    return train(
        name=training.name, out=root, data=str(place), init_from=start, **training.settings
    )


def _reached(folder: Path, place: Path) -> dict[str, Any]:
    """Return what the levels of a run reach, and their bits."""
    model = folder / runs.MODEL
    graph = nestfile.load(model)
    test = device_images(model, ALL, str(place))
    some = device_images(model, ON_CORE, str(place))
    with tempfile.TemporaryDirectory() as out:
        host = flow.run(model, "host", test.inputs, test.targets, out=Path(out) / "host")
        core = flow.run(model, "qemu_m4", some.inputs, some.targets, out=Path(out) / "core")
    return {
        "model": graph.provenance.model,
        "classes": list(graph.provenance.class_names),
        "tested": test.count,
        "on_core": some.count,
        "weights_bytes": host.weights_bytes,
        "arena_bytes": host.arena_bytes,
        "levels": [
            {
                "sparsity": level.sparsity,
                "float": level.accuracy_float,
                "int8": level.accuracy_reference,
                "details": level.details,
                "bit_exact": level.bit_exact and core.levels[index].bit_exact,
                "instructions": core.levels[index].instructions,
            }
            for index, level in enumerate(host.levels)
        ],
    }


def _costs(folder: Path, place: Path) -> dict[str, Any]:
    """Return what a run takes on each board that it fits."""
    model = folder / runs.MODEL
    some = device_images(model, PRICED, str(place))
    found = {}
    for board in BOARDS:
        with tempfile.TemporaryDirectory() as out:
            try:
                bench = flow.bench(model, board, some.inputs, out=Path(out) / board)
            except UserError as error:
                if not isinstance(error.__cause__, DoesNotFit):
                    raise
                continue
        found[board] = {
            "title": bench.title,
            "clock_hz": bench.clock_hz,
            "flash_bytes": bench.sizes.flash_bytes,
            "ram_bytes": bench.sizes.ram_bytes,
            "cycles": [least(level.cycles) for level in bench.levels],
            "answer_cycles": [
                0 if level.answer is None else least(level.answer.cycles) for level in bench.levels
            ],
        }
    return found


def _once(file: Path, measured: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what was measured of the network beside ``file``, where it is kept, now or before."""
    network = nestfile.file_sha256(file.with_name(runs.MODEL))
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if known.get("network") != network:
        known = {"network": network, "found": measured()}
        file.write_text(json.dumps(known), encoding="utf-8")
    found: dict[str, Any] = known["found"]
    return found


def _heard(place: Path, folder: Path) -> dict[str, Any]:
    """Compare what C hears in recordings with what training heard, and count instructions."""
    loaded = datasets.load("wav", place)
    source = nestfile.load(folder / runs.MODEL).only_input.source
    assert isinstance(source, Int16Source) and loaded.test.sound is not None
    chosen = np.linspace(0, len(loaded.test.sound) - 1, HEARD).astype(int)
    exact, frames, windows = True, 0, 0
    for index in chosen:
        for machine in ("host", "mps2-an386"):
            with tempfile.TemporaryDirectory() as out:
                found = heard(source, loaded.test.sound[index], Path(out), machine)
            wanted = loaded.test.images[index]
            exact &= np.array_equal(found.features, wanted)
            exact &= np.array_equal(found.input, source.quantize(wanted))
            if found.instructions:
                frames = max(frames, *found.instructions[:-1])
                windows = max(windows, found.instructions[-1])
    return {"recordings": HEARD, "exact": bool(exact), "frame": frames, "window": windows}
