"""Average pooling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from codegen.graph.ir import Broken, Graph, Int8Array
from codegen.graph.pools import Pool
from codegen.graph.window import pad, taps

MAX_WINDOW = 4096
RECIPROCAL_BITS = 22


@dataclass(frozen=True)
class AvgPool(Pool):
    """Mean over a window of n = kernel_h * kernel_w, padding counted as real zero.

    ``y = clamp(zp + ((sum(x - zp) * round(2**22 / n) + 2**21) >> 22))``; n is at most 4096.
    """

    def run(self, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Sum differences from the zero point and multiply by a rounded reciprocal."""
        zero_point = graph.value(self.input).zero_point
        shape = graph.value(self.output).shape
        padded = pad(inputs[0], self, zero_point)
        total = np.zeros((len(padded), *shape), np.int64)
        for _, _, tap in taps(padded, self, shape[0], shape[1]):
            total += tap
        window = prod(self.kernel)
        total -= window * zero_point
        total *= round(2**RECIPROCAL_BITS / window)
        total += 1 << (RECIPROCAL_BITS - 1)
        total >>= RECIPROCAL_BITS
        total += zero_point
        return total.clip(-128, 127).astype(np.int8)

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about the window."""
        yield from super().check(graph)
        if prod(self.kernel) > MAX_WINDOW:
            yield f"a window has at most {MAX_WINDOW} elements", prod(self.kernel)
