"""The anchors of a detector, which its maps' shapes decide.

Source: Liu et al., arXiv 1512.02325 (SSD), section 2.2: sizes rise in equal steps from the finest
map to the coarsest, and a cell has boxes of several proportions. Where they differ: ADR 0028.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from codegen.tasks._boxes import PIXEL

PROPORTIONS = (1.0, 2.0, 1 / 2, None, 3.0, 1 / 3)
"""Width by height of a cell's first, second, ... anchor; None: a square between this scale's size
and the next one's."""
SMALLEST, LARGEST = 0.1, 0.9
"""Size of the finest and the coarsest map's square, of the image's shorter side."""


def anchors_of(
    shapes: Sequence[tuple[int, int, int]], image: tuple[int, int]
) -> list[list[tuple[float, float]]]:
    """Return half the width and height of every scale's anchors, in 1/PIXEL pixel.

    A distance of 1 stands for that, so distances of 1 are the anchor itself. Where no cell has
    several anchors, the one is twice the cell: distances are in cells.

    Args:
        shapes: height and width of every scale, in cells, and its anchors per cell, at most as many
            as there are PROPORTIONS.
        image: height and width in pixels.
    """
    if all(count == 1 for _, _, count in shapes):
        return [[(PIXEL * image[1] / w, PIXEL * image[0] / h)] for h, w, _ in shapes]
    steps = max(len(shapes) - 1, 1)
    sizes = [SMALLEST + (LARGEST - SMALLEST) * index / steps for index in range(len(shapes))]
    found = []
    for (_, _, count), size, larger in zip(shapes, sizes, [*sizes[1:], 1.0], strict=True):
        own = []
        for proportion in PROPORTIONS[:count]:
            side = size if proportion else math.sqrt(size * larger)
            half = side * min(image) * PIXEL / 2
            stretch = math.sqrt(proportion or 1.0)
            own.append((float(max(1, round(half * stretch))), float(max(1, round(half / stretch)))))
        found.append(own)
    return found
