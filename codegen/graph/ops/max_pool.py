"""Max pooling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codegen.graph.ir import Graph, Int8Array
from codegen.graph.pools import Pool
from codegen.graph.window import pad, taps


@dataclass(frozen=True)
class MaxPool(Pool):
    """Maximum over a window; padding never wins."""

    def run(self, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Take the maximum; padding of -128 never beats a real element."""
        shape = graph.value(self.output).shape
        padded = pad(inputs[0], self, -128)
        best = np.full((len(padded), *shape), -128, np.int8)
        for _, _, tap in taps(padded, self, shape[0], shape[1]):
            np.maximum(best, tap, out=best)
        return best
