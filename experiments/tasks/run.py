"""Train every task on public data: accuracy of each level as deployed, and what it costs on boards.

The accuracy is that of the integer reference on all test data: the bytes that C computes, which is
compared on the host for all of them and on the emulated Cortex-M4 for some.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import nestnet
from codegen import flow
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.sources.quantizer import Int16Source
from experiments.common.cycles import least
from experiments.common.markdown import spaced, table
from experiments.tasks import data
from experiments.tasks.trainings import NESTED, TRAININGS, Training
from nestnet import datasets, runs
from nestnet.cli.device_images import device_images
from tests.support.firmware.sources import heard

COST = "some two hours, trainings included; needs five data sets"
TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")
SEEDS = (0,)

ALL = 1_000_000
ON_CORE = 50
"""Test inputs that run on the emulated Cortex-M4."""
HEARD = 6
"""Recordings that C hears, on the host and on the emulated core."""
BOARDS = ("stm32f7", "stm32f4", "stm32l4")
REACHED = "reached.json"
"""What was measured of a run, in its folder: measured once."""


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
        rows[training.name] = _reached(folder, place)
    yield {"rows": rows, "heard": _heard(places["words"], options.runs / "words")}


def _trained(training: Training, root: Path, place: Path) -> Path:
    """Return the folder of a finished run."""
    folder = root / training.name
    if (folder / runs.MODEL).is_file():
        return folder
    if (folder / runs.CHECKPOINT).is_file():
        return nestnet.resume(folder)
    start = str(root / training.after) if training.after else ""
    return nestnet.train(
        name=training.name, out=root, data=str(place), init_from=start, **training.settings
    )


def _reached(folder: Path, place: Path) -> dict[str, Any]:
    """Return what the levels of a run reach, and their costs; as measured before, if it was."""
    file = folder / REACHED
    if file.is_file():
        known: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return known
    model = folder / runs.MODEL
    graph = nestfile.load(model)
    test = device_images(model, ALL, str(place))
    some = device_images(model, ON_CORE, str(place))
    with tempfile.TemporaryDirectory() as out:
        host = flow.run(model, "host", test.inputs, test.targets, out=Path(out) / "host")
        core = flow.run(model, "qemu_m4", some.inputs, some.targets, out=Path(out) / "core")
        one = [each[:1] for each in test.inputs]
        benches = {}
        for board in BOARDS:
            with contextlib.suppress(UserError):  # the network does not fit: no row of its own
                benches[board] = flow.bench(model, board, one, out=Path(out) / board)
    found = {
        "model": graph.provenance.model,
        "classes": list(graph.provenance.class_names),
        "tested": test.count,
        "on_core": some.count,
        "weights_bytes": host.weights_bytes,
        "arena_bytes": host.arena_bytes,
        "boards": {
            board: {
                "title": bench.title,
                "clock_hz": bench.clock_hz,
                "flash_bytes": bench.sizes.flash_bytes,
                "ram_bytes": bench.sizes.ram_bytes,
            }
            for board, bench in benches.items()
        },
        "levels": [
            {
                "sparsity": level.sparsity,
                "float": level.accuracy_float,
                "int8": level.accuracy_reference,
                "details": level.details,
                "bit_exact": level.bit_exact and core.levels[index].bit_exact,
                "instructions": core.levels[index].instructions,
                "cycles": {
                    board: least(bench.levels[index].cycles) for board, bench in benches.items()
                },
            }
            for index, level in enumerate(host.levels)
        ],
    }
    file.write_text(json.dumps(found), encoding="utf-8")
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


def score(name: str, level: Mapping[str, Any]) -> float:
    """Return what the table shows and bars are of."""
    kind, details = name.partition("-")[0], level["details"]
    if kind == "beats":
        return float(np.mean([_f1(details["confusion"], label) for label in range(3)]))
    if kind == "cells":
        return float(details["rows"][0]["dice"])
    return float(level["int8"])


def _f1(confusion: Any, label: int) -> float:
    """Return the F1 score of a class."""
    counts = np.asarray(confusion)
    return float(2 * counts[label, label] / max(1, counts[label].sum() + counts[:, label].sum()))


METRICS = {
    "activity": "accuracy",
    "words": "accuracy",
    "beats": "mean F1 of N, S, V",
    "cells": "Dice of the membranes",
    "defects": "mAP50",
}
_HEADS = ("data", "network", "metric", "sparsity", "float %", "int8 %", "instructions",
          "F7 cycles", "F4 cycles", "L4 cycles", "F7 flash", "F4", "L4", "F7 RAM", "F4", "L4",
          "bit-exact")  # fmt: skip


def page(findings: Mapping[str, Any]) -> str:
    """Return the tables."""
    rows = [
        line
        for training in TRAININGS
        if training.name in findings["rows"]
        for line in _lines(training, findings["rows"][training.name])
    ]
    first = next(iter(findings["rows"].values()))
    boards = "; ".join(board["title"] for board in first["boards"].values())
    settings = "; ".join(_told(training) for training in TRAININGS)
    ear = findings["heard"]
    return f"""# Every task, as deployed

{table(_HEADS, rows)}

One seed and short trainings. Float: before the quantization-aware epochs, as training measures it;
int8: the integer reference on all test data, which are the bits of C on the host for all of them
and those of the emulated Cortex-M4 for {ON_CORE}. Boxes are those of the detector's decoder, from
a score of 1 % on. Instructions: executed on the emulated Cortex-M4, a mean over {ON_CORE} inputs,
without the answer (boxes, masks). Cycles are estimated for {boards},
flash and RAM are those of the linked program.

{_knob(findings)}

{_speakers(findings)}

Of {ear["recordings"]} recordings C makes the features and the int8 input that training had, on
the host and on the emulated Cortex-M4: {"yes" if ear["exact"] else "no"}. There a frame takes
{spaced(ear["frame"])} instructions at most, a window of 49 x 10 {spaced(ear["window"])}.

Settings, others by default: {settings}.
"""


def _lines(training: Training, found: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield a training's rows of the table."""
    name = training.name
    boards = [found["boards"].get(board) for board in BOARDS]
    memory = [
        spaced(board[key]) if board else "too large"
        for key in ("flash_bytes", "ram_bytes")
        for board in boards
    ]
    for index, level in enumerate(found["levels"]):
        begins = not index
        yield [
            training.title if begins else "",
            found["model"] if begins else "",
            METRICS[name.partition("-")[0]] if begins else "",
            _percent(level["sparsity"]),
            f"{100 * level['float']:.1f}",
            f"{100 * score(name, level):.1f}",
            spaced(level["instructions"]),
            *(
                spaced(level["cycles"][board]) if board in level["cycles"] else "-"
                for board in BOARDS
            ),
            *(memory if begins else [""] * len(memory)),
            "yes" if level["bit_exact"] else "no",
        ]


def _knob(findings: Mapping[str, Any]) -> str:
    """Return what the levels of the detector cost and reach beside the dense one."""
    levels = findings["rows"]["defects"]["levels"]
    dense = findings["rows"]["defects-dense"]["levels"][-1]
    fast, slow = levels[0]["cycles"], levels[-1]["cycles"]
    gains = [dense["cycles"][BOARDS[0]] / level["cycles"][BOARDS[0]] for level in levels]
    shares = ", ".join(
        f"{gain:.2f} at {_percent(level['sparsity'])}"
        for gain, level in zip(gains, levels, strict=True)
    )
    knob = ", ".join(f"{slow[board] / fast[board]:.2f} on {board}" for board in BOARDS)
    return (
        f"The detector's knob, from its densest to its sparsest level: {knob} times fewer cycles. "
        f"Beside the dense detector on {BOARDS[0]} its levels are faster by: {shares}."
    )


def _speakers(findings: Mapping[str, Any]) -> str:
    """Return the mean over the speakers that were held out."""
    means = [f"{_percent(s)}: {100 * m:.1f} %" for s, m in _held_out(findings)]
    return f"Words of speakers who were held out, the mean of the six: {', '.join(means)}."


def _held_out(findings: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Return sparsity and mean accuracy of each level."""
    found = [findings["rows"][f"words-{speaker}"]["levels"] for speaker in data.SPEAKERS]
    return [
        (levels[0]["sparsity"], float(np.mean([level["int8"] for level in levels])))
        for levels in zip(*found, strict=True)
    ]


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")


def _told(training: Training) -> str:
    """Return a training's settings."""
    after = [f"init from {training.after}"] if training.after else []
    told = [f"{key} {value}" for key, value in training.settings.items()]
    return f"{training.name}: {', '.join(told + after)}"


LEAST = {
    "activity": 0.92, "words": 0.95, "beats": 0.57, "cells": 0.78, "cells-dense": 0.78,
    "defects-dense": 0.54,
}  # fmt: skip
"""Least score of every level."""
LEAST_HELD_OUT = 0.70
"""Mean of the densest level over the speakers."""
DROPS = dict(zip(NESTED, (0.12, 0.05, 0.03), strict=True))
"""What a level of the detector may lose to the dense one."""
BEHIND = 0.01
"""What it may lose to its stand-alone twin, and a quantized network to its float one."""
KNOB = 1.4
"""Least factor between the cycles of the detector's densest and sparsest level on the M7."""


def problems(findings: Mapping[str, Any]) -> list[str]:
    """Return bars that are missed and bits that differ."""
    rows = findings["rows"]
    found = [
        f"{name}, level {index}: {score(name, level):.3f} is below {LEAST[name]}"
        for name in LEAST
        for index, level in enumerate(rows[name]["levels"])
        if score(name, level) < LEAST[name]
    ]
    found += [f"{name}: bits differ" for name, row in rows.items()
              if not all(level["bit_exact"] for level in row["levels"])]  # fmt: skip
    mean = _held_out(findings)[-1][1]
    if mean < LEAST_HELD_OUT:
        found.append(f"speakers held out: {mean:.3f} is below {LEAST_HELD_OUT}")
    return found + _detector(rows) + ([] if findings["heard"]["exact"] else ["C hears otherwise"])


def _detector(rows: Mapping[str, Any]) -> list[str]:
    """Return what the detector misses."""
    dense = rows["defects-dense"]["levels"][-1]
    levels = rows["defects"]["levels"]
    found = []
    if dense["float"] - dense["int8"] > BEHIND:
        found.append(f"defects-dense: int8 {dense['int8']:.3f} of {dense['float']:.3f}")
    for share, level in zip(NESTED, levels, strict=True):
        twin = rows[f"defects-{round(100 * share)}"]["levels"][-1]
        if dense["int8"] - level["int8"] > DROPS[share]:
            found.append(f"defects at {share}: {level['int8']:.3f}, dense {dense['int8']:.3f}")
        if twin["int8"] - level["int8"] > BEHIND:
            found.append(f"defects at {share}: {level['int8']:.3f}, its twin {twin['int8']:.3f}")
    factor = levels[-1]["cycles"][BOARDS[0]] / levels[0]["cycles"][BOARDS[0]]
    if factor < KNOB:
        found.append(f"the knob of the detector: {factor:.2f} is below {KNOB}")
    return found
