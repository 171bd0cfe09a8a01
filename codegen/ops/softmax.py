"""Softmax over channels."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from codegen.graph.ir import Graph, Int8Array, Shape, Softmax
from codegen.kernels import cost
from codegen.kernels.in_place import ELEMENTWISE
from codegen.oprule import Broken, OpRule, register
from codegen.program.lowering import Draft, FieldSpec, Options
from codegen.program.packed import LevelCost

MAX_CHANNELS = 1024
OUT_SCALE = 1 / 256
OUT_ZERO_POINT = -128


class SoftmaxRule(OpRule[Softmax]):
    """Shape, reference, checks and kernel choice of :class:`codegen.graph.ir.Softmax`."""

    def out_shape(self, op: Softmax, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return the input's shape."""
        return shapes[0]

    def run(
        self, op: Softmax, graph: Graph, inputs: tuple[Int8Array, ...], level: int
    ) -> Int8Array:
        """Look exponentials up and divide with rounding."""
        images = inputs[0].astype(np.int64)
        power = op.table[images.max(axis=-1, keepdims=True) - images].astype(np.int64)
        total = power.sum(axis=-1, keepdims=True)
        result: Int8Array = (
            ((power * 256 + total // 2) // total - 128).clip(-128, 127).astype(np.int8)
        )
        return result

    def check(self, op: Softmax, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about the table, channels and output scale."""
        if op.table.dtype != np.uint16 or op.table.shape != (256,):
            yield "table is uint16 of shape (256,)", (op.table.dtype.name, op.table.shape)
        elif int(op.table[0]) != 2**15 or (np.diff(op.table.astype(np.int64)) > 0).any():
            yield "table falls from 2**15", int(op.table[0])
        before, after = graph.value(op.input), graph.value(op.output)
        if before.shape[2] > MAX_CHANNELS:
            yield f"at most {MAX_CHANNELS} channels", before.shape[2]
        if set(after.scale) != {OUT_SCALE} or after.zero_point != OUT_ZERO_POINT:
            yield "output scale is 1/256 with zero point -128", (after.scale, after.zero_point)
        if len(set(before.scale)) > 1:
            yield "input scale is equal at all levels", before.scale

    def lower(self, op: Softmax, graph: Graph, options: Options) -> Draft:
        """Call ``nn_softmax``."""
        cycles = cost.cycles(prod(graph.value(op.input).shape) * cost.SOFTMAX_CHANNEL)
        return Draft(
            kernel="softmax",
            reason="the only kernel for this operator",
            fields=(FieldSpec("table", op.table, 2),),
            levels=(LevelCost(0, cycles, int(op.table.nbytes)),) * len(graph.levels),
            overlaps=(ELEMENTWISE,),
        )


register(Softmax, SoftmaxRule())
