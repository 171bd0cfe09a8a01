"""Elementwise multiplication, the second factor repeated where it has one element."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from codegen.graph.ir import INT32_MAX, Broken, Graph, Int8Array
from codegen.graph.ops.common.pairs import Pair

MAX_MULTIPLIER = 2**15
MAX_SHIFT = 22


@dataclass(frozen=True, eq=False)
class Mul(Pair):
    """Product: ``y = clamp(((a - za) * (b - zb) * m + offset) >> shift)``.

    The multiplier has shape (levels,), absolute values below 2**15.
    """

    def run(self, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Multiply the distances from the zero points, scale, shift and clamp."""
        a, b = (
            x.astype(np.int64) - zero_point
            for x, zero_point in zip(self.operands(inputs), self.zero_points(graph), strict=True)
        )
        total = a * b * int(self.multiplier[level]) + int(self.offset[level])
        total >>= self.shift
        return total.clip(self.act_min, self.act_max).astype(np.int8)

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about shapes, tables and int32 overflow."""
        broken = list(super().check(graph))
        yield from broken
        if broken:
            return
        if not 0 <= self.shift <= MAX_SHIFT:
            yield f"shift is 0..{MAX_SHIFT}", self.shift
        shape = (len(graph.levels),)
        for array in (self.multiplier, self.offset):
            if array.dtype != np.int32 or array.shape != shape:
                yield f"mul tables are int32 of shape {shape}", (array.dtype.name, array.shape)
                return
        multiplier = np.abs(self.multiplier.astype(np.int64))
        if int(multiplier.max()) >= MAX_MULTIPLIER:
            yield "multiplier is below 2**15", int(multiplier.max())
        bound = multiplier * largest_product(*self.zero_points(graph)) + np.abs(
            self.offset.astype(np.int64)
        )
        if int(bound.max()) > INT32_MAX:
            yield "the product fits int32", int(bound.max())


def largest_product(first_zero_point: int, second_zero_point: int) -> int:
    """Return the bound of ``|a| * |b| + ...`` that kernels rely on, whatever they expand the
    product of the two differences to."""
    return (128 + abs(first_zero_point)) * (128 + abs(second_zero_point))
