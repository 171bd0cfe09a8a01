"""Softmax over channels, at a network's end or inside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from codegen.graph.ir import Broken, Graph, Int8Array, OneInput, Shape, Uint16Array

MAX_CHANNELS = 1024
OUT_GAIN = 256
"""Output steps for 1 at a network's end."""
OUT_SCALE = 1 / OUT_GAIN
OUT_ZERO_POINT = -128
MAX_INNER_CHANNELS = 512
"""Of a softmax inside: the largest result is at least a 512th, so that its gain fits 32 bits."""


@dataclass(frozen=True, eq=False)
class Softmax(OneInput):
    """Softmax over channels at each position; output zero point -128, steps of 1 / gain.

    ``e[i] = table[max(x) - x[i]]``; ``y[i] = clamp((e[i]*gain + sum/2) // sum - 128)``, uint32.
    """

    table: Uint16Array
    """Shape (256,): round(2**15 * exp(-scale * i)); entry 0 is 2**15. At most MAX_CHANNELS
    channels."""
    gain: tuple[int, ...]
    """Of each level, the output steps for 1: 256, or more where no result comes near 1."""

    def out_shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return the input's shape."""
        return shapes[0]

    def run(self, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Look exponentials up and divide with rounding."""
        return shares(inputs[0], self.table, self.gain[level])

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about the table, channels and output scale."""
        if self.table.dtype != np.uint16 or self.table.shape != (256,):
            yield "table is uint16 of shape (256,)", (self.table.dtype.name, self.table.shape)
        elif int(self.table[0]) != 2**15 or (np.diff(self.table.astype(np.int64)) > 0).any():
            yield "table falls from 2**15", int(self.table[0])
        before, after = graph.value(self.input), graph.value(self.output)
        if before.shape[2] > MAX_CHANNELS:
            yield f"at most {MAX_CHANNELS} channels", before.shape[2]
        if len(self.gain) != len(graph.levels):
            yield f"a gain for each of {len(graph.levels)} levels", self.gain
            return
        if min(self.gain) < 1 or (max(self.gain) << 15) + (before.shape[2] << 14) >= 2**32:
            yield "gain is at least 1, and gain * 2**15 + channels * 2**14 below 2**32", self.gain
            return
        if gains(after.scale) != self.gain or after.zero_point != OUT_ZERO_POINT:
            yield "output scale is 1/gain with zero point -128", (after.scale, after.zero_point)
        if len(set(before.scale)) > 1:
            yield "input scale is equal at all levels", before.scale


def shares(x: Int8Array, table: Uint16Array, gain: int) -> Int8Array:
    """Return the softmax of ``x`` over its last axis."""
    wide = x.astype(np.int64)
    power = table[wide.max(axis=-1, keepdims=True) - wide].astype(np.int64)
    total = power.sum(axis=-1, keepdims=True)
    y = (power * gain + total // 2) // total + OUT_ZERO_POINT
    result: Int8Array = y.clip(-128, 127).astype(np.int8)
    return result


def make_table(scale: float) -> Uint16Array:
    """Return the exponentials of distances from the maximum, in steps of ``scale``."""
    table: Uint16Array = np.rint(2.0**15 * np.exp(-scale * np.arange(256))).astype(np.uint16)
    return table


def gains(scale: Sequence[float]) -> tuple[int, ...]:
    """Return the gain for each of several output scales."""
    return tuple(round(1 / each) for each in scale)
