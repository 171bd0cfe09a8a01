"""Softmax over channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from codegen.graph.ir import Broken, Graph, Int8Array, OneInput, Shape, Uint16Array

MAX_CHANNELS = 1024
OUT_SCALE = 1 / 256
OUT_ZERO_POINT = -128


@dataclass(frozen=True, eq=False)
class Softmax(OneInput):
    """Softmax over channels at each position; output scale 1/256, zero point -128.

    ``e[i] = table[max(x) - x[i]]``; ``y[i] = clamp((e[i]*256 + sum/2) // sum - 128)``, uint32.
    """

    table: Uint16Array
    """Shape (256,): round(2**15 * exp(-scale * i)); entry 0 is 2**15. At most MAX_CHANNELS
    channels."""

    def out_shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return the input's shape."""
        return shapes[0]

    def run(self, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Look exponentials up and divide with rounding."""
        images = inputs[0].astype(np.int64)
        power = self.table[images.max(axis=-1, keepdims=True) - images].astype(np.int64)
        total = power.sum(axis=-1, keepdims=True)
        result: Int8Array = (
            ((power * 256 + total // 2) // total - 128).clip(-128, 127).astype(np.int8)
        )
        return result

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about the table, channels and output scale."""
        if self.table.dtype != np.uint16 or self.table.shape != (256,):
            yield "table is uint16 of shape (256,)", (self.table.dtype.name, self.table.shape)
        elif int(self.table[0]) != 2**15 or (np.diff(self.table.astype(np.int64)) > 0).any():
            yield "table falls from 2**15", int(self.table[0])
        before, after = graph.value(self.input), graph.value(self.output)
        if before.shape[2] > MAX_CHANNELS:
            yield f"at most {MAX_CHANNELS} channels", before.shape[2]
        if set(after.scale) != {OUT_SCALE} or after.zero_point != OUT_ZERO_POINT:
            yield "output scale is 1/256 with zero point -128", (after.scale, after.zero_point)
        if len(set(before.scale)) > 1:
            yield "input scale is equal at all levels", before.scale
