"""Product of two matrices that are both activations, for each of a batch, such as heads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from codegen.graph.ir import INT32_MAX, Broken, Graph, Int8Array, Int32Array, Op, Shape
from codegen.graph.weighted import check_clamp

MAX_FRACTION_BITS = 8
MAX_PRE_SHIFT = 8


@dataclass(frozen=True, eq=False)
class Matmul(Op):
    """Row i of a times row, or column, j of b: ``acc = sum((a - za) * (b - zb))``, int32.

    a is (batch, rows, depth) in h, w, c, b (batch, columns, depth), or ``by_columns`` (batch,
    depth, columns); the output is (batch, rows, columns).
    ``y = clamp((B + (((acc << pre_shift) * M + 2**31) >> 32)) >> fraction_bits)``, where B is the
    zero point and half an output step in steps of ``2**-fraction_bits``.
    """

    inputs: tuple[str, str]
    output: str
    by_columns: bool
    multiplier: Int32Array
    """M: shape (levels,)."""
    fraction_bits: int
    pre_shift: int
    act_min: int
    act_max: int

    def reading(self, names: Mapping[str, str]) -> Self:
        """Return this operator reading ``names[x]`` wherever it read x."""
        first, second = self.inputs
        return replace(self, inputs=(names.get(first, first), names.get(second, second)))

    def out_shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return batch, rows and columns; :meth:`check` compares what has to agree."""
        (batch, rows, _), second = shapes
        return batch, rows, second[2 if self.by_columns else 1]

    def run(self, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Multiply; sums below 2**31 are exact in float64."""
        points = [graph.value(name).zero_point for name in self.inputs]
        return self.product(inputs, points, graph.value(self.output).zero_point, level)

    def product(
        self, inputs: Sequence[Int8Array], points: Sequence[int], zero_point: int, level: int
    ) -> Int8Array:
        """Return the output (n, batch, rows, columns).

        Args:
            inputs: (n, h, w, c) each.
            points: their zero points.
            zero_point: of the output.
            level: 0 is the sparsest.
        """
        a, b = (x.astype(np.float64) - zero for x, zero in zip(inputs, points, strict=True))
        total = (a @ (b if self.by_columns else b.swapaxes(2, 3))).astype(np.int64)
        total = ((total << self.pre_shift) * int(self.multiplier[level]) + 2**31) >> 32
        total = (total + bias(zero_point, self.fraction_bits)) >> self.fraction_bits
        return total.clip(self.act_min, self.act_max).astype(np.int8)

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about shapes, the table and int32 overflow."""
        (batch, _, depth), other = graph.shapes(self.inputs)
        mine = (batch, depth)
        if (other[0], other[1 if self.by_columns else 2]) != mine:
            yield f"both matrices have batch and depth {mine}", other
        if not 0 <= self.fraction_bits <= MAX_FRACTION_BITS:
            yield f"fraction bits are 0..{MAX_FRACTION_BITS}", self.fraction_bits
        if not 0 <= self.pre_shift <= MAX_PRE_SHIFT:
            yield f"pre-shift is 0..{MAX_PRE_SHIFT}", self.pre_shift
            return
        shape = (len(graph.levels),)
        if self.multiplier.dtype != np.int32 or self.multiplier.shape != shape:
            got = (self.multiplier.dtype.name, self.multiplier.shape)
            yield f"matmul multiplier is int32 of shape {shape}", got
        spans = [graph.value(name).span for name in self.inputs]
        if depth * spans[0] * spans[1] << self.pre_shift > INT32_MAX:
            yield "the sums fit int32", depth * spans[0] * spans[1] << self.pre_shift
        yield from check_clamp(self.act_min, self.act_max)

    def macs(self, graph: Graph, level: int) -> int:
        """Return the multiply-accumulates, of activations alone."""
        batch, rows, depth = graph.value(self.inputs[0]).shape
        return batch * rows * depth * graph.value(self.output).shape[2]


def bias(zero_point: int, fraction_bits: int) -> int:
    """Return B: the zero point and half a step, in steps of ``2**-fraction_bits``."""
    return (zero_point << fraction_bits) + (1 << fraction_bits >> 1)


def make_multiplier(gains: Sequence[float], bound: int) -> tuple[Int32Array, int, int]:
    """Return multiplier (levels,), fraction bits and pre-shift of a product: the most fraction
    bits for which everything fits.

    Args:
        gains: (levels,), output steps per step of the sum.
        bound: of the sum's absolute value.

    Raises:
        ValueError: a gain for which nothing fits.
    """
    largest = max(abs(gain) for gain in gains)
    for fraction_bits in range(MAX_FRACTION_BITS, -1, -1):
        for pre_shift in range(MAX_PRE_SHIFT + 1):
            unit = 2.0 ** (fraction_bits + 32 - pre_shift)
            if bound << pre_shift <= INT32_MAX and largest * unit < INT32_MAX:
                exact = np.rint(np.array(gains, np.float64) * unit)
                return exact.astype(np.int32), fraction_bits, pre_shift
    raise ValueError(f"gain {largest:.3g} of sums up to {bound}")
