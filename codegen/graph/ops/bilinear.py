"""Bilinear resizing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import INT32_MAX, Broken, Graph, Int8Array, OneInput, Shape

WEIGHT_BITS = 11
"""Of a place between two elements along one axis."""


@dataclass(frozen=True)
class Bilinear(OneInput):
    """Each output a mean of the four elements around its place, weighted by their nearness.

    Along each axis output o of ``out`` lies at ``max(0, (2 * o + 1) * in - out) / (2 * out)``, or
    with aligned corners at ``o * (in - 1) / (out - 1)``; the element behind it weighs the rest,
    rounded to 2**-11. ``y = (sum(weight * x) + 2**21) >> 22``: the weights of an output add up to
    2**22, so the zero point passes through.
    """

    keeps_grid = True

    align_corners: int
    """1 where the first and the last output are the first and the last element, else 0."""

    def out_shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return None: any height and width will do."""
        return None

    def run(self, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Interpolate along the width, then along the height; round once."""
        total = inputs[0].astype(np.int64)
        for axis in (2, 1):
            first, second, weight = self.places(graph, axis - 1)
            shape = [1, 1, 1, 1]
            shape[axis] = len(weight)
            near = total.take(first, axis) * (2**WEIGHT_BITS - weight).reshape(shape)
            total = near + total.take(second, axis) * weight.reshape(shape)
        total += 1 << (2 * WEIGHT_BITS - 1)
        result: Int8Array = (total >> (2 * WEIGHT_BITS)).astype(np.int8)
        return result

    def places(
        self, graph: Graph, axis: int
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
        """Return for each output along ``axis``, 0 for rows, the elements on either side of it and
        the weight of the second."""
        extent, out = (graph.value(name).shape[axis] for name in (self.input, self.output))
        index = np.arange(out, dtype=np.int64)
        if self.align_corners:
            unit, at = max(out - 1, 1), index * (extent - 1 if out > 1 else 0)
        else:
            unit, at = 2 * out, np.maximum(0, (2 * index + 1) * extent - out)
        first = at // unit
        weight = ((at - first * unit) * 2**WEIGHT_BITS + unit // 2) // unit
        return first, np.minimum(first + 1, extent - 1), weight

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about extents."""
        before, after = graph.value(self.input).shape, graph.value(self.output).shape
        if self.align_corners not in (0, 1):
            yield "align_corners is 0 or 1", self.align_corners
        if before[2] != after[2]:
            yield f"the output has {before[2]} channels", after[2]
        for extent, out in zip(before[:2], after[:2], strict=True):
            if 2 * out * max(extent, 2**WEIGHT_BITS) > INT32_MAX:
                yield "twice the output's extent times the input's, or times 2048, fits int32", out
                return
