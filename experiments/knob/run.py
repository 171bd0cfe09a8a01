"""Draw the knob: accuracy against estimated cycles of the levels of one trained network.

Accuracy is that of the integer reference, the bytes a board computes, on all test images.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot

from codegen import flow
from codegen.graph import file as nestfile
from codegen.graph import reference
from codegen.target import boards
from experiments.common.cycles import least
from experiments.common.markdown import spaced, table
from nestnet import config, runs
from nestnet.cli.device_images import device_images

COST = "minutes; needs a trained run"
TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")
SEEDS = ()
"""Said by the run's settings."""

BOARD = "stm32l4"
"""Its memory was compared with measurements, so that its cycles are one number."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run and its data."""
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished run")
    parser.add_argument("--data", default="", help="where its data set lies, if it has moved")


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Run all test images through the reference, and one through the emulator."""
    settings = config.load(options.run / runs.CONFIG)
    graph = nestfile.load(options.run / runs.MODEL)
    test = device_images(options.run / runs.MODEL, 1_000_000, options.data)
    assert test.targets is not None
    with tempfile.TemporaryDirectory() as folder:
        bench = flow.bench(
            options.run / runs.MODEL, BOARD, (test.inputs[0][:1],), out=Path(folder) / "project"
        )
    levels = []
    for index, costs in enumerate(bench.levels):
        output = reference.run_one(graph, test.inputs[0], index)
        right = output.reshape(len(output), -1).argmax(axis=1) == test.targets
        levels.append(
            {
                "sparsity": graph.levels[index].sparsity,
                "accuracy": float(right.mean()),
                "instructions": costs.instructions,
                "cycles": least(costs.cycles),
            }
        )
    board = boards.load(BOARD)
    yield {
        "network": settings.model,
        "data": test.data,
        "images": test.count,
        "epochs": settings.epochs,
        "seed": settings.seed,
        "board": board.title,
        "clock_hz": bench.clock_hz,
        "estimator": bench.estimator,
        "levels": levels,
    }


def page(findings: Mapping[str, Any]) -> str:
    """Return the picture and its numbers."""
    rows = [
        [
            index,
            f"{level['sparsity']:.0%}".replace("%", " %"),
            f"{level['accuracy']:.2%}".replace("%", " %"),
            spaced(level["instructions"]),
            spaced(level["cycles"]),
            f"{1000 * level['cycles'] / findings['clock_hz']:.1f}",
        ]
        for index, level in enumerate(findings["levels"])
    ]
    heads = ["level", "sparsity", "accuracy", "instructions", "estimated cycles", "ms"]
    return f"""# The knob: {findings["network"]} on {findings["data"]}

![Accuracy against cycles of the levels](picture.svg)

One network with {len(rows)} levels, trained for {findings["epochs"]} epochs with seed
{findings["seed"]} and otherwise default settings; the firmware chooses a level for each image.
Accuracy: the integer reference on {spaced(findings["images"])} test images. One seed and a short
training: a hint. Instructions are executed and counted on the emulated core; cycles are estimated
for {findings["board"]}: {findings["estimator"]}.

{table(heads, rows)}
"""


def picture(findings: Mapping[str, Any], path: Path) -> None:
    """Write the picture as SVG; the same findings give the same bytes."""
    matplotlib.rcParams.update({"svg.hashsalt": "nestnet", "svg.fonttype": "none", "font.size": 11})
    cycles = [level["cycles"] / 1e6 for level in findings["levels"]]
    accuracy = [100 * level["accuracy"] for level in findings["levels"]]
    figure, axes = pyplot.subplots(figsize=(7.2, 3.6), layout="constrained")
    axes.plot(cycles, accuracy, "o-", color="#4a7ab5", markersize=9, linewidth=1.5)
    for index, level in enumerate(findings["levels"]):
        text = f"level {index}: {level['sparsity']:.0%} sparse"
        last = index == len(cycles) - 1
        axes.annotate(
            text,
            (cycles[index], accuracy[index]),
            xytext=(-10, 6) if last else (12, -12),
            textcoords="offset points",
            ha="right" if last else "left",
        )
    board, clock = findings["board"].partition(":")[0], findings["clock_hz"] // 1_000_000
    axes.set_xlabel(f"million cycles of one image, estimated ({board}, {clock} MHz)")
    axes.set_ylabel("test accuracy, %")
    axes.set_title(
        "One network, one set of weights: the level is chosen for each image", fontsize=11
    )
    axes.set_xlim(0, 1.12 * max(cycles))
    axes.margins(y=0.25)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def problems(findings: Mapping[str, Any]) -> list[str]:
    """Name levels that cost more than a denser one."""
    levels = findings["levels"]
    return [
        f"level {index} is not faster than level {index + 1}"
        for index, (level, denser) in enumerate(pairwise(levels))
        if level["cycles"] >= denser["cycles"]
    ]
