"""Elementwise addition."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from codegen.graph.ir import Add, Graph, Int8Array, Shape
from codegen.kernels import cost
from codegen.kernels.in_place import ELEMENTWISE
from codegen.kernels.weighted import INT32_MAX, check_clamp
from codegen.oprule import Broken, OpRule, register
from codegen.program.lowering import Draft, FieldSpec, Options
from codegen.program.packed import AddConstants, LevelCost

MAX_MULTIPLIER = 2**22


class AddRule(OpRule[Add]):
    """Shape, reference, checks and kernel choice of :class:`codegen.graph.ir.Add`."""

    def out_shape(self, op: Add, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return the first input's shape; :meth:`check` compares the second."""
        return shapes[0]

    def run(self, op: Add, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Scale both inputs, add, shift and clamp."""
        first, second = (int(multiplier) for multiplier in op.multiplier[level])
        total = inputs[0].astype(np.int64) * first + inputs[1].astype(np.int64) * second
        total += int(op.offset[level])
        total >>= op.shift
        return total.clip(op.act_min, op.act_max).astype(np.int8)

    def check(self, op: Add, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about shapes, tables and int32 overflow."""
        shapes = tuple(graph.value(name).shape for name in op.inputs)
        if shapes[0] != shapes[1]:
            yield f"both inputs have the shape {shapes[0]}", shapes[1]
        yield from check_clamp(op.act_min, op.act_max)
        if not 0 <= op.shift <= 31:
            yield "shift is 0..31", op.shift
        levels = len(graph.levels)
        tables = ((op.multiplier, (levels, 2)), (op.offset, (levels,)))
        for array, shape in tables:
            if array.dtype != np.int32 or array.shape != shape:
                yield f"add tables are int32 of shape {shape}", (array.dtype.name, array.shape)
                return
        multiplier = np.abs(op.multiplier.astype(np.int64))
        if int(multiplier.max()) >= MAX_MULTIPLIER:
            yield "multiplier is below 2**22", int(multiplier.max())
        bound = multiplier.sum(axis=1) * 128 + np.abs(op.offset.astype(np.int64))
        if int(bound.max()) > INT32_MAX:
            yield "the sum fits int32", int(bound.max())

    def lower(self, op: Add, graph: Graph, options: Options) -> Draft:
        """Call ``nn_add``."""
        count = prod(graph.value(op.output).shape)
        level_cost = LevelCost(0, cost.cycles(count * cost.ADD_ELEMENT), 12)
        return Draft(
            kernel="add",
            reason="not fused: no convolution of its own produces this sum",
            fields=(
                FieldSpec("add_multiplier", op.multiplier, 4),
                FieldSpec("add_offset", op.offset, 4),
            ),
            levels=(level_cost,) * len(graph.levels),
            add=AddConstants(count, op.shift, op.act_min, op.act_max),
            overlaps=(ELEMENTWISE, ELEMENTWISE),
        )


register(Add, AddRule())
