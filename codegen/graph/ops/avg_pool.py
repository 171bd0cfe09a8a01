"""Average pooling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import Broken, Graph, Int8Array
from codegen.graph.pools import Pool

MAX_WINDOW = 4096
RECIPROCAL_BITS = 22


@dataclass(frozen=True)
class AvgPool(Pool):
    """Mean over the n counted elements of a window, padding taken as real zero.

    ``y = clamp(zp + ((sum(x - zp) * round(2**22 / n) + 2**21) >> 22))``; a window has at most 4096
    elements.
    """

    counted: tuple[int, int, int, int]
    """top, left, bottom, right: how much of the padding n counts, from the input outwards."""

    def run(self, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Sum differences from the zero point and multiply by a rounded reciprocal."""
        zero_point = graph.value(self.input).zero_point
        total = self.reduced(graph, inputs[0].astype(np.int64) - zero_point, np.sum)
        total = total * self.reciprocals(graph)[..., None]
        total += 1 << (RECIPROCAL_BITS - 1)
        total >>= RECIPROCAL_BITS
        total += zero_point
        return total.clip(-128, 127).astype(np.int8)

    def reciprocals(self, graph: Graph) -> NDArray[np.int64]:
        """Return round(2**22 / n) of every window, shape (out_h, out_w)."""
        count = np.ones((1, 1))
        for axis, spans in enumerate(self.spans(graph)):
            low, high = -self.counted[axis], graph.value(self.input).shape[axis]
            high += self.counted[axis + 2]
            sizes = np.array([min(end, high) - max(first, low) for first, end in spans])
            count = count * (sizes[:, None] if axis == 0 else sizes)
        reciprocals: NDArray[np.int64] = np.rint(2**RECIPROCAL_BITS / count).astype(np.int64)
        return reciprocals

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about the window and what of it is counted."""
        yield from super().check(graph)
        if prod(self.kernel) > MAX_WINDOW:
            yield f"a window has at most {MAX_WINDOW} elements", prod(self.kernel)
        if any(not 0 <= c <= p for c, p in zip(self.counted, self.padding, strict=True)):
            yield "as much padding is counted as there is, or less", self.counted
