"""Elementwise addition, the second summand repeated where it has one element."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from codegen.graph.ir import INT32_MAX, Broken, Graph, Int8Array
from codegen.graph.ops.common.pairs import Pair

MAX_MULTIPLIER = 2**22


@dataclass(frozen=True, eq=False)
class Add(Pair):
    """Elementwise sum: ``y = clamp((a*m[0] + b*m[1] + offset) >> shift)``.

    The multiplier has shape (levels, 2), absolute values below 2**22; the offset holds both zero
    points too.
    """

    def run(self, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Scale both inputs, add, shift and clamp."""
        first, second = (int(multiplier) for multiplier in self.multiplier[level])
        a, b = self.operands(inputs)
        total = a.astype(np.int64) * first + b.astype(np.int64) * second
        total += int(self.offset[level])
        total >>= self.shift
        return total.clip(self.act_min, self.act_max).astype(np.int8)

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about shapes, tables and int32 overflow."""
        yield from super().check(graph)
        if not 0 <= self.shift <= 31:
            yield "shift is 0..31", self.shift
        levels = len(graph.levels)
        tables = ((self.multiplier, (levels, 2)), (self.offset, (levels,)))
        for array, shape in tables:
            if array.dtype != np.int32 or array.shape != shape:
                yield f"add tables are int32 of shape {shape}", (array.dtype.name, array.shape)
                return
        multiplier = np.abs(self.multiplier.astype(np.int64))
        if int(multiplier.max()) >= MAX_MULTIPLIER:
            yield "multiplier is below 2**22", int(multiplier.max())
        bound = multiplier.sum(axis=1) * 128 + np.abs(self.offset.astype(np.int64))
        if int(bound.max()) > INT32_MAX:
            yield "the sum fits int32", int(bound.max())
