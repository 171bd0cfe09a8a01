"""Max pooling."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from codegen.graph.ir import Graph, Int8Array, MaxPool, Shape
from codegen.kernels import cost
from codegen.kernels.pools import check_pool, lower_pool, pool_shape
from codegen.kernels.window import pad, taps
from codegen.oprule import Broken, OpRule, register
from codegen.program.lowering import Draft, Options
from codegen.program.packed import Kernel


class MaxPoolRule(OpRule[MaxPool]):
    """Shape, reference, checks and kernel choice of :class:`codegen.graph.ir.MaxPool`."""

    def out_shape(self, op: MaxPool, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return the pooled extent."""
        return pool_shape(op, shapes)

    def run(
        self, op: MaxPool, graph: Graph, inputs: tuple[Int8Array, ...], level: int
    ) -> Int8Array:
        """Take the maximum; padding of -128 never beats a real element."""
        shape = graph.value(op.output).shape
        padded = pad(inputs[0], op, -128)
        best = np.full((len(padded), *shape), -128, np.int8)
        for _, _, tap in taps(padded, op, shape[0], shape[1]):
            np.maximum(best, tap, out=best)
        return best

    def check(self, op: MaxPool, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about the window and the pass-through scale."""
        yield from check_pool(op, graph)

    def lower(self, op: MaxPool, graph: Graph, options: Options) -> Draft:
        """Call ``nn_max_pool``, or CMSIS-NN's, which gives the same bits."""
        kernel: Kernel = "max_pool" if options.kernels == "nestnet" else "cmsis_max_pool"
        return lower_pool(op, graph, kernel, cost.MAX_POOL_ELEMENT)


register(MaxPool, MaxPoolRule())
