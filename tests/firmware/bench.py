"""Measure the kernels on the emulated Cortex-M4 and M7 (gcc -O3): instructions, estimated cycles.

Usage: python -m tests.firmware.bench
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from codegen.measure.pipelines import elf
from codegen.measure.pipelines.estimate import Cost, estimate, executed
from tests.support.firmware.cases import (
    Case,
    compare,
    concatenation,
    multiplication,
    nested,
    normalization,
    padding,
    paired,
    rearrangement,
    soft,
    table,
    weighted,
)
from tests.support.firmware.families import NO_PADDING, adaptive
from tests.support.firmware.oracle import Shape
from tests.support.firmware.rig import Emulated, run_m4
from tests.support.firmware.window_cases import pool, resize

MACHINES = {"cortex-m4": "mps2-an386", "cortex-m7": "mps2-an500"}
"""What QEMU calls a machine with the core."""

LAYER = Shape(16, 16, 32, 16, 16, 32, 3, 3, 1, 1, 1, 1)
DENSITIES = (1.0, 0.5, 0.25, 0.125)


DEPTHWISE = {
    "depthwise 3x3 16x16x32": (LAYER, 16),
    "depthwise 3x3 stride 2": (Shape(16, 16, 32, 8, 8, 32, 3, 3, 2, 2, 0, 0), 8),
}
"""Extents and band of rows."""


def nested_layers() -> dict[str, Case]:
    """Return a 3x3 layer, 16x16x32 to 32 channels, at one level, by name."""
    rng = np.random.default_rng(1)
    return {
        f"nested {LAYER.kernel_h}x{LAYER.kernel_w} G={group} P={tile} {100 * density:g} %": nested(
            rng, LAYER, group, tile, (density,), plain=True
        )
        for group, tile in ((4, 4), (2, 4), (1, 8))
        for density in DENSITIES
    }


MOVES = {
    "slice 256 x 4 of 8": (True, (256, 8), (4, 1)),
    "slice 256 x 8 of 16": (True, (256, 16), (8, 1)),
    "slice 256 x 16 of 32": (True, (256, 32), (16, 1)),
    "slice 256 x 16 of 32, anywhere": (False, (256, 32), (16, 1)),
    "slice 256 x 64 of 128": (True, (256, 128), (64, 1)),
    "nearest 8x8x4": (True, (8, 32), (2, 0), (8, 4), (2, 0), (4, 1)),
    "nearest 8x8x16": (True, (8, 128), (2, 0), (8, 16), (2, 0), (16, 1)),
    "nearest 8x8x64": (True, (8, 512), (2, 0), (8, 64), (2, 0), (64, 1)),
    "shuffle 256 x 2 x 16": (False, (256, 32), (16, 1), (2, 16)),
    "turn 256 x 16": (False, (16, 1), (256, 16)),
}
"""Whether buffers are words, and loops."""


PRODUCTS = {
    "4 x 64x32 by rows 64": (((4, 64, 64, 32), 0), (0, 0)),
    "4 x 64x64 by columns 32": (((4, 64, 32, 64), 1), (-128, 0)),
    "2 x 17x16 by rows 17": (((2, 17, 17, 16), 0), (0, 0)),
    "2 x 17x17 by columns 16": (((2, 17, 16, 17), 1), (-128, 0)),
}
"""Batches, rows, columns and depth, whether by columns; zero points."""


def other_layers() -> dict[str, Case]:
    """Return one typical layer of every other kernel, by name."""
    rng = np.random.default_rng(2)
    pointwise = Shape(1, 256, 32, 1, 256, 32)
    first = Shape(32, 32, 3, 32, 32, 16, 3, 3, 1, 1, 1, 1)
    linear = Shape(1, 1, 256, 1, 1, 64)
    return {
        "dense 3x3 P=2": weighted(rng, "DENSE_CONV", LAYER, tile=2, plain=True),
        "dense 3x3 P=1": weighted(rng, "DENSE_CONV", LAYER, tile=1, plain=True),
        "dense 3x3 P=3": weighted(rng, "DENSE_CONV", LAYER, tile=3, plain=True),
        "dense 1x1 32->32 P=3": weighted(rng, "DENSE_CONV", pointwise, tile=3, plain=True),
        "dense 3x3 32x32x3->16 P=3": weighted(rng, "DENSE_CONV", first, tile=3, plain=True),
        "nested 1x1 G=4 P=4 25 %": nested(rng, pointwise, 4, 4, (0.25,), plain=True),
        "nested 4 levels G=4 P=4 50 %": nested(rng, LAYER, 4, 4, (0.1, 0.2, 0.3, 0.5), plain=True),
        "nested + residual G=4 P=4 25 %": nested(
            rng, LAYER, 4, 4, (0.25,), plain=True, residual=True
        ),
        **{
            name: weighted(rng, "DEPTHWISE_CONV", s, groups=s.in_c, tile=band, plain=True)
            for name, (s, band) in DEPTHWISE.items()
        },
        "dense linear 256->64": weighted(rng, "DENSE_LINEAR", linear, plain=True),
        "nested linear G=4 25 %": nested(rng, linear, 4, 1, (0.25,), linear=True, plain=True),
        "add 8192": paired(rng, "add", (1, 1, 8192), (1, 1, 8192), plain=True),
        "max pool 2x2 16x16x32": pool(rng, "MAX_POOL", Shape(16, 16, 32, 8, 8, 32, 2, 2, 2, 2)),
        "avg pool 8x8x64": pool(rng, "AVG_POOL", Shape(8, 8, 64, 1, 1, 64, 8, 8)),
        "concat 256 x 4 + 4": concatenation(rng, 256, 4, 4, words=True),
        "concat 256 x 8 + 8": concatenation(rng, 256, 8, 8, words=True),
        "concat 256 x 16 + 16": concatenation(rng, 256, 16, 16, words=True),
        "concat 256 x 32 + 64": concatenation(rng, 256, 32, 64, words=True),
        "concat 256 x 16 + 16, anywhere": concatenation(rng, 256, 16, 16),
        "concat 256 x 64 + 64, anywhere": concatenation(rng, 256, 64, 64),
        "pad 16x16x32 by 1": padding(rng, 16, 1, 512, 576, 32, 0, 0, 32, 576, words=True),
        "pad 16x16x8 by 1": padding(rng, 16, 1, 128, 144, 8, 0, 0, 8, 144, words=True),
        "pad 16x16x32 by 1, anywhere": padding(rng, 16, 1, 512, 576, 32, 0, 0, 32, 576),
        "pad channels 256 x 16 to 32": padding(rng, 1, 256, 16, 0, 0, 8, 8, 0, 0, words=True),
        **{
            name: rearrangement(rng, *loops, words=words) for name, (words, *loops) in MOVES.items()
        },
        "mul 8192": paired(rng, "mul", (1, 1, 8192), (1, 1, 8192), plain=True),
        "mul 256 x 32, by channel": paired(rng, "mul", (16, 16, 32), (1, 1, 32), plain=True),
        "mul 256 x 32, by position": paired(rng, "mul", (16, 16, 32), (16, 16, 1), plain=True),
        **{
            f"matmul {name}": multiplication(rng, *sizes, points=points, plain=True)
            for name, (sizes, points) in PRODUCTS.items()
        },
        "normalize 256 x 32": normalization(rng, 256, 1, 1, 32),
        "normalize 8192": normalization(rng, 1, 256, 1, 32),
        "bilinear 8x8x32 to 16x16": resize(rng, Shape(8, 8, 32, 16, 16, 32), 0),
        "lookup 8192": table(rng, 8192),
        "softmax 10": soft(rng, 1, 10),
        "softmax 64 x 64": soft(rng, 64, 64, 1021),
        "grouped 3x3, 4 groups": weighted(rng, "GROUPED_CONV", LAYER, groups=4, plain=True),
        "avg pool 3x3 8x8x32, padding counted": pool(
            rng, "AVG_POOL", Shape(8, 8, 32, 8, 8, 32, 3, 3, 1, 1, 1, 1), (1, 1, 1, 1)
        ),
        "avg pool 13x13x32 to 5x5": pool(rng, "AVG_POOL", adaptive(13, 13, 32, 5, 5), NO_PADDING),
        "max pool 13x13x32 to 5x5": pool(rng, "MAX_POOL", adaptive(13, 13, 32, 5, 5), NO_PADDING),
    }


def measure(layers: dict[str, Case], folder: Path) -> dict[str, tuple[int, ...]]:
    """Return executed instructions per level of each layer.

    Raises:
        AssertionError: an output is wrong.
    """
    counts = iter(_run(layers, folder, MACHINES["cortex-m4"]).instructions)
    return {name: tuple(next(counts) for _ in case.runs) for name, case in layers.items()}


def costs(layers: dict[str, Case], folder: Path, core: str) -> dict[str, list[Cost]]:
    """Return instructions and estimated cycles per level of each layer, without wait states.

    Args:
        layers: cases by name.
        folder: where to build.
        core: one of :data:`MACHINES`.

    Raises:
        AssertionError: an output is wrong.
    """
    result = _run(layers, folder, MACHINES[core])
    program = elf.image(folder / "harness.elf")
    slots = iter(range(len(result.instructions)))
    return {
        name: [
            estimate(executed(result.counts, program, next(slots)), core).total for _ in case.runs
        ]
        for name, case in layers.items()
    }


def _run(layers: dict[str, Case], folder: Path, machine: str) -> Emulated:
    cases = list(layers.values())
    result = run_m4(cases, folder, machine=machine)
    wrong = compare(cases, result.outputs)
    assert not wrong, "\n".join(wrong)
    return result


def main() -> None:
    """Measure and print: instructions, and per element of the output instructions and cycles."""
    layers = {**nested_layers(), **other_layers()}
    print(f"{'':37}", *(f"{core:>10}     each   cycles" for core in MACHINES))
    with tempfile.TemporaryDirectory() as folder:
        found = [costs(layers, Path(folder), core) for core in MACHINES]
    for name, case in layers.items():
        for level, run in enumerate(case.runs):
            cells = [f"{name:37}"]
            for cost in (of[name][level] for of in found):
                each = (cost.instructions / run.expected.size, cost.cycles.low / run.expected.size)
                cells.append(f"{cost.instructions:>10,} {each[0]:8.2f} {each[1]:8.2f}")
            print(*cells)


if __name__ == "__main__":
    main()
