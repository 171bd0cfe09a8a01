"""Average pooling."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from codegen.graph.ir import AvgPool, Graph, Int8Array, Shape
from codegen.kernels import cost
from codegen.kernels.pools import check_pool, lower_pool, pool_shape
from codegen.kernels.window import pad, taps
from codegen.oprule import Broken, OpRule, register
from codegen.program.lowering import Draft, Options

MAX_WINDOW = 4096
RECIPROCAL_BITS = 22


class AvgPoolRule(OpRule[AvgPool]):
    """Shape, reference, checks and kernel choice of :class:`codegen.graph.ir.AvgPool`."""

    def out_shape(self, op: AvgPool, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return the pooled extent."""
        return pool_shape(op, shapes)

    def run(
        self, op: AvgPool, graph: Graph, inputs: tuple[Int8Array, ...], level: int
    ) -> Int8Array:
        """Sum differences from the zero point and multiply by a rounded reciprocal."""
        zero_point = graph.value(op.input).zero_point
        shape = graph.value(op.output).shape
        padded = pad(inputs[0], op, zero_point)
        total = np.zeros((len(padded), *shape), np.int64)
        for _, _, tap in taps(padded, op, shape[0], shape[1]):
            total += tap
        window = prod(op.kernel)
        total -= window * zero_point
        total *= round(2**RECIPROCAL_BITS / window)
        total += 1 << (RECIPROCAL_BITS - 1)
        total >>= RECIPROCAL_BITS
        total += zero_point
        return total.clip(-128, 127).astype(np.int8)

    def check(self, op: AvgPool, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about the window and the pass-through scale."""
        yield from check_pool(op, graph)
        if prod(op.kernel) > MAX_WINDOW:
            yield f"a window has at most {MAX_WINDOW} elements", prod(op.kernel)

    def lower(self, op: AvgPool, graph: Graph, options: Options) -> Draft:
        """Call ``nn_avg_pool``."""
        return lower_pool(op, graph, "avg_pool", cost.AVG_POOL_ELEMENT)


register(AvgPool, AvgPoolRule())
