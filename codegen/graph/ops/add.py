"""Elementwise addition, the second summand repeated where it has one element."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from codegen.graph.ir import INT32_MAX, Broken, Graph, Int8Array, Int32Array, Op, Shape, broadcasts
from codegen.graph.weighted import check_clamp

MAX_MULTIPLIER = 2**22


@dataclass(frozen=True, eq=False)
class Add(Op):
    """Elementwise sum: ``y = clamp((a*m[0] + b*m[1] + offset) >> shift)``, int32 throughout."""

    inputs: tuple[str, str]
    """The second has the shape of the first, or 1 in place of any extent."""
    output: str
    multiplier: Int32Array
    """Shape (levels, 2); absolute value below 2**22."""
    offset: Int32Array
    """Shape (levels,); holds both zero points, the output zero point and the rounding half."""
    shift: int
    act_min: int
    act_max: int

    def reading(self, names: Mapping[str, str]) -> Add:
        """Return this operator reading ``names[x]`` wherever it read x."""
        first, second = self.inputs
        return replace(self, inputs=(names.get(first, first), names.get(second, second)))

    def out_shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return the first input's shape; :meth:`check` compares the second."""
        return shapes[0]

    def run(self, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Scale both inputs, add, shift and clamp."""
        first, second = (int(multiplier) for multiplier in self.multiplier[level])
        total = inputs[0].astype(np.int64) * first + inputs[1].astype(np.int64) * second
        total += int(self.offset[level])
        total >>= self.shift
        return total.clip(self.act_min, self.act_max).astype(np.int8)

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about shapes, tables and int32 overflow."""
        shapes = graph.shapes(self.inputs)
        if not broadcasts(shapes[1], shapes[0]):
            yield f"the second input has the shape {shapes[0]}, or 1 in its place", shapes[1]
        yield from check_clamp(self.act_min, self.act_max)
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
