"""Max pooling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codegen.graph.ir import Graph, Int8Array
from codegen.graph.pools import Pool


@dataclass(frozen=True)
class MaxPool(Pool):
    """Maximum over a window; padding never wins."""

    def run(self, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Take the maximum of each window's real elements; there is at least one."""
        return self.reduced(graph, inputs[0], np.max).astype(np.int8)
