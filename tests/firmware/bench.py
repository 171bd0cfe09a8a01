"""Print executed instructions of the kernels on the emulated Cortex-M4.

Usage: python -m tests.firmware.bench
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from tests.firmware.cases import Case, nested, weighted
from tests.firmware.oracle import Shape
from tests.firmware.rig import run_m4

from tests.firmware.cases import compare

LAYER = Shape(16, 16, 32, 16, 16, 32, 3, 3, 1, 1, 1, 1)
DENSITIES = (1.0, 0.5, 0.25, 0.125)


def layer_cases() -> list[Case]:
    """Return the 3x3, 16x16x32 to 32 layer of the table in DESIGN.md, in every variant."""
    rng = np.random.default_rng(1)
    cases = []
    for group, tile in ((4, 4), (2, 4), (1, 8)):
        cases += [nested(rng, LAYER, group, tile, (density,), plain=True) for density in DENSITIES]
    cases += [weighted(rng, "DENSE_CONV", LAYER, tile=tile, plain=True) for tile in (1, 2, 3, 4)]
    depthwise = Shape(16, 16, 32, 16, 16, 32, 3, 3, 1, 1, 1, 1)
    cases.append(weighted(rng, "DEPTHWISE_CONV", depthwise, groups=32, plain=True))
    return cases


def main() -> None:
    """Measure and print."""
    cases = layer_cases()
    with tempfile.TemporaryDirectory() as folder:
        result = run_m4(cases, Path(folder))
    for line in compare(cases, result.outputs):
        print("WRONG", line)
    for case, instructions in zip(cases, result.instructions, strict=True):
        print(f"{instructions:>10,}  {case.name[:60]}")


if __name__ == "__main__":
    main()
