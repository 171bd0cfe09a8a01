"""Normalization by statistics of the values themselves: layer, group and instance norm, L2."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import Broken, Graph, Int8Array, Int32Array, OneInput, Shape

MAX_SET = 2**18
"""Elements that are normalized together, at most."""
FRACTION_BITS = 8
MAX_GAIN = 2**23
"""Output steps times the root of the elements of a set, at most."""
ROOT_STEPS = 16
"""Of the root of D a step of the root of squares: their sum is taken times 2**8."""
EXPONENTS = range(7, 32)
"""Of the gain: 2**-exponent."""

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Normalize(OneInput):
    """Divide each set of elements by the root of the sum of its squares.

    A set is ``positions`` positions in memory order with ``channels`` channels of each. Of the n
    values x - zp_in of a set, S the sum and Q the sum of the squares: with ``center`` every value
    becomes ``d = n * (x - zp_in) - S`` and ``D = (n * Q - S * S) * 2**8 + E``, without
    ``d = x - zp_in`` and ``D = Q * 2**8 + E``. Then ``y = d * gain / sqrt(D)`` in output steps;
    docs/integer-contract.md says how in integers.
    """

    positions: int
    """All of them, or 1."""
    channels: int
    """A divisor of the channels."""
    center: bool
    table: Int32Array
    """Shape (levels, 4): the gain's mantissa, 2**30 .. 2**31 - 1, and exponent: ``gain = mantissa *
    2**-exponent``; of E its mantissa, not negative, and shift: ``E = mantissa << shift``."""

    def out_shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return the input's shape."""
        return shapes[0]

    def run(self, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Normalize every set."""
        points = graph.value(self.input).zero_point, graph.value(self.output).zero_point
        sizes = self.positions, self.channels
        return normalized(inputs[0], sizes, self.center, self.table[level], points)

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about the sets and the tables."""
        height, width, channels = graph.value(self.input).shape
        if self.positions not in (1, height * width):
            yield f"a set has 1 or {height * width} positions", self.positions
        if self.channels < 1 or channels % self.channels:
            yield f"a set's channels divide {channels}", self.channels
        if self.positions * self.channels > MAX_SET:
            yield f"a set has at most {MAX_SET} elements", self.positions * self.channels
        shape = (len(graph.levels), 4)
        if self.table.dtype != np.int32 or self.table.shape != shape:
            got = (self.table.dtype.name, self.table.shape)
            yield f"normalize table is int32 of shape {shape}", got
            return
        mantissa, exponent, epsilon, shift = self.table.T.astype(np.int64)
        if int(mantissa.min()) < 2**30:
            yield "the gain's mantissa is at least 2**30", int(mantissa.min())
        gain = mantissa * 2.0**-exponent
        if not set(exponent.tolist()) <= set(EXPONENTS) or gain.max() > most_gain(
            self.positions * self.channels
        ):
            yield "gain times the root of a set's elements is at most 2**23", float(gain.max())
        if int(epsilon.min()) < 0 or not 0 <= int(shift.min()) <= int(shift.max()) <= 30:
            yield "E is below 2**61", (epsilon.tolist(), shift.tolist())


def make_table(
    scale_in: Sequence[float],
    scale_out: Sequence[float],
    elements: int,
    factor: float,
    epsilon: float = 1e-5,
) -> Int32Array:
    """Return the table (levels, 4) of a normalization.

    Args:
        scale_in: of the input, by level.
        scale_out: of the output, by level.
        elements: of a set.
        factor: what ``d / sqrt(D)`` is multiplied by: the root of a set's elements where the mean
            is left and values are divided by the root of the mean square, else 1.
        epsilon: what is added to D of real values: n * n times that of a variance, n times that of
            a mean square.
    """
    rows = []
    for before, after in zip(scale_in, scale_out, strict=True):
        gain = min(max(ROOT_STEPS * factor / after, 8.0), most_gain(elements))
        exponent = 30 - math.floor(math.log2(gain))
        mantissa = min(round(gain * 2.0**exponent), 2**31 - 1)
        added = min(epsilon / before**2 * ROOT_STEPS**2, 2.0**60)
        shift = max(math.floor(math.log2(max(added, 1.0))) - 29, 0)
        rows.append((mantissa, exponent, round(added / 2.0**shift), shift))
    return np.array(rows, np.int32)


def most_gain(elements: int) -> float:
    """Return the largest gain of sets of so many elements."""
    return MAX_GAIN / float(np.sqrt(elements))


def normalized(
    x: Int8Array,
    sizes: tuple[int, int],
    center: bool,
    table: Int32Array,
    zero_points: tuple[int, int],
) -> Int8Array:
    """Return the normalized (n, h, w, c) of ``x``.

    Args:
        x: (n, h, w, c).
        sizes: positions and channels of a set.
        center: whether the mean is taken off.
        table: of the level, (4,).
        zero_points: of the input and of the output.
    """
    positions, channels = sizes
    images, height, width, _ = x.shape
    elements = positions * channels
    blocks = height * width // positions
    sets = x.astype(np.int64).reshape(images, blocks, positions, -1, channels) - zero_points[0]
    total = sets.sum(axis=(2, 4), keepdims=True)
    squares = (sets * sets).sum(axis=(2, 4), keepdims=True)
    distance = elements * sets - total if center else sets
    power = elements * squares - total * total if center else squares
    mantissa, exponent, epsilon, epsilon_shift = (int(number) for number in table)
    factor, halves = _reciprocal_root((power << 8) + (epsilon << epsilon_shift), mantissa)
    shift = 25 + halves - exponent
    moved = np.where(shift >= 0, distance << shift.clip(0), distance >> (-shift).clip(0))
    t = (moved * (factor << 15) + 2**31) >> 32
    y = (t + (zero_points[1] << FRACTION_BITS) + 2 ** (FRACTION_BITS - 1)) >> FRACTION_BITS
    result: Int8Array = y.clip(-128, 127).astype(np.int8).reshape(x.shape)
    return result


def _reciprocal_root(power: IntArray, mantissa: int) -> tuple[IntArray, IntArray]:
    """Return f and e with ``mantissa / sqrt(power)`` about ``f * 2**e``; 0 and 0 of 0.

    ``power`` is moved by 2 * e bits into 2**30 .. 2**32 - 1, its root rounded down.
    """
    bits = np.zeros_like(power)
    rest = power.copy()
    for step in (32, 16, 8, 4, 2, 1):
        large = rest >> step > 0
        bits += np.where(large, step, 0)
        rest = np.where(large, rest >> step, rest)
    halves = (31 - bits) >> 1  # bits: of the highest one
    moved = np.where(halves >= 0, power << (2 * halves).clip(0), power >> (-2 * halves).clip(0))
    root = np.floor(np.sqrt(moved.astype(np.float64))).astype(np.int64)
    factor = mantissa // np.maximum(root, 1)
    nothing = power == 0
    return np.where(nothing, 0, factor), np.where(nothing, 0, halves)
