"""Train on motion, spoken digits and heartbeats: accuracy in float and int8, bits on a core.

Accuracy in int8 is that of the integer reference, the bytes a board computes, on all test data.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import nestnet
from codegen import flow
from codegen.graph import file as nestfile
from codegen.graph import reference
from codegen.graph.sources.quantizer import Int16Source
from experiments.common.markdown import spaced, table
from experiments.senses import data
from nestnet import datasets, runs
from nestnet.cli.device_images import device_images
from tests.support.firmware.sources import heard

COST = "some 10 minutes; needs the three data sets"
TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")
SEEDS = (0,)

ON_CORE = 40
"""Test windows that run on the emulated Cortex-M4."""
HEARD = 6
"""Recordings that C hears, on the host and on the emulated core."""
TRAININGS: dict[str, dict[str, Any]] = {
    "activity": {"dataset": "windows", "epochs": 20, "sparsity": (0.9, 0.8, 0.7, 0.5)},
    "words": {"dataset": "wav", "epochs": 12, "batch": 64, "sparsity": (0.0,)},
    "beats": {"dataset": "arrays", "epochs": 12, "augment": "jitter", "sparsity": (0.0,)},
}
TITLES = {
    "activity": "HAPT, 6 activities, windows of 128 x 6 at 50 Hz, 9 test users",
    "words": "FSDD, 10 digits, MFCC of a second at 8 kHz, official split",
    "beats": "MIT-BIH, N S V F, 128 samples at 120 Hz and the rhythm, DS1 / DS2",
}
LEAST = {"activity": 0.92, "words": 0.95, "beats": 0.57}
"""Bars: accuracy, of beats the mean F1 of N, S and V."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the places of the data."""
    parser.add_argument("--activity", type=Path, required=True, help="folder of userUU_K.npy")
    parser.add_argument("--words", type=Path, required=True, help="folder of the .wav files")
    parser.add_argument("--beats", type=Path, required=True, help="folder of NNN.npy and NNN.csv")
    parser.add_argument("--runs", type=Path, default=Path("runs") / "senses", help="run folders")


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Train what is not trained, then measure; a finished run is kept."""
    made = options.runs / "data"
    places = {
        "activity": data.activity(options.activity, made / "activity"),
        "words": data.words(options.words, made / "words"),
        "beats": data.beats(options.beats, made / "beats.npz"),
    }
    found: dict[str, Any] = {}
    for name, settings in TRAININGS.items():
        folder = options.runs / name
        if not (folder / runs.MODEL).is_file():
            nestnet.train(name=name, out=options.runs, data=places[name], **settings)
        found[name] = _reached(name, folder, places[name])
    found["heard"] = _heard(places["words"], options.runs / "words")
    yield found


def _reached(name: str, folder: Path, place: Path) -> dict[str, Any]:
    """Return the levels of a run on all test data, and on the emulated core."""
    graph = nestfile.load(folder / runs.MODEL)
    test = device_images(folder / runs.MODEL, 1_000_000, str(place))
    some = device_images(folder / runs.MODEL, ON_CORE, str(place))
    assert test.targets is not None
    with tempfile.TemporaryDirectory() as out:
        report = flow.run(
            folder / runs.MODEL, "qemu_m4", some.inputs, some.targets, out=Path(out) / "project"
        )
    levels = []
    for level in report.levels:
        outputs = reference.run(graph, test.inputs, level.level)[0]
        answers = outputs.reshape(len(outputs), -1).argmax(axis=1)
        levels.append(
            {
                "sparsity": level.sparsity,
                "float": level.accuracy_float,
                "int8": float((answers == test.targets).mean()),
                "f1": [_f1(answers, test.targets, k) for k in range(int(test.targets.max()) + 1)],
                "bit_exact": level.bit_exact,
                "instructions": level.instructions,
            }
        )
    return {
        "model": graph.provenance.model,
        "classes": list(graph.provenance.class_names),
        "windows": len(test.targets),
        "on_core": some.count,
        "weights_bytes": report.weights_bytes,
        "arena_bytes": report.arena_bytes,
        "levels": levels,
    }


def _f1(answers: Any, targets: Any, label: int) -> float:
    """Return the F1 score of a class."""
    right = int(((answers == label) & (targets == label)).sum())
    return 2 * right / max(1, int((answers == label).sum() + (targets == label).sum()))


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
    """Return what a bar is of."""
    return float(np.mean(level["f1"][:3])) if name == "beats" else float(level["int8"])


def page(findings: Mapping[str, Any]) -> str:
    """Return the tables."""
    rows = [
        [
            TITLES[name] if not index else "",
            findings[name]["model"] if not index else "",
            f"{level['sparsity']:.0%}".replace("%", " %"),
            f"{100 * level['float']:.1f}",
            f"{100 * level['int8']:.1f}",
            " ".join(f"{value:.2f}" for value in level["f1"]) if name == "beats" else "",
            spaced(level["instructions"]),
            "yes" if level["bit_exact"] else "no",
        ]
        for name in TRAININGS
        for index, level in enumerate(findings[name]["levels"])
    ]
    heads = ["data, split", "network", "sparsity", "float %", "int8 %", "F1 of classes"]
    heads += ["instructions", "bit-exact"]
    sizes = "; ".join(
        f"{name}: {spaced(findings[name]['windows'])} test windows, "
        f"{spaced(findings[name]['weights_bytes'])} bytes of weights, "
        f"{spaced(findings[name]['arena_bytes'])} of arena"
        for name in TRAININGS
    )
    settings = "; ".join(
        f"{name}: " + ", ".join(f"{key} {value}" for key, value in said.items())
        for name, said in TRAININGS.items()
    )
    ear = findings["heard"]
    beats = score("beats", findings["beats"]["levels"][-1])
    return f"""# Motion, words and heartbeats

{table(heads, rows)}

One seed and short trainings. Float: before the quantization-aware epochs; int8: the integer
reference on all test windows, which are the bits of the emulated Cortex-M4 on {ON_CORE} of them.
Mean F1 of N, S and V: {beats:.1%}; F beats are 0.8 % of the test data, nearly all of one patient.

{sizes}.

Of {ear["recordings"]} recordings C makes the features and the int8 input that training had, on
the host and on the emulated Cortex-M4: {"yes" if ear["exact"] else "no"}. There a frame takes
{spaced(ear["frame"])} instructions at most, a window of 49 x 10 {spaced(ear["window"])}.

Settings, others by default: {settings}.
"""


def problems(findings: Mapping[str, Any]) -> list[str]:
    """Return bars that are missed and bits that differ."""
    found = [
        f"{name}, level {index}: {score(name, level):.3f} is below {LEAST[name]}"
        for name in TRAININGS
        for index, level in enumerate(findings[name]["levels"])
        if score(name, level) < LEAST[name]
    ]
    found += [f"{name}: bits differ" for name in TRAININGS
              if not all(level["bit_exact"] for level in findings[name]["levels"])]  # fmt: skip
    return found + ([] if findings["heard"]["exact"] else ["words are heard otherwise in C"])
