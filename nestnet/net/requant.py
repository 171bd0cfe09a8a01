"""Round real multipliers and biases to the 16-bit tables of the integer contract.

Source: docs/integer-contract.md, "Requantization", and docs/adr/0001-output-side-bias.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codegen.errors import UserError
from codegen.graph.ir import INT32_MAX, Requant
from codegen.graph.ops.mul import MAX_MULTIPLIER, MAX_SHIFT, largest_product

FloatArray = NDArray[np.float64]

MAX_FRACTION_BITS = 8
MAX_PRE_SHIFT = 8
MAX_MULTIPLIER_SHIFT = 16
MAX_DELTA_SHIFT = 8
MAX_SIDE_MULTIPLIER = 2**22 - 1
"""Largest multiplier of a residual or of an addition."""


def make_requant(
    where: str,
    gain: FloatArray,
    offset: FloatArray,
    largest_accumulator: int,
    residual_gain: FloatArray | None,
) -> tuple[Requant, NDArray[np.int32] | None]:
    """Return the tables of one layer and its residual's multipliers (levels,).

    Args:
        where: the layer, for errors.
        gain: (levels, out_c), output steps per accumulator step.
        offset: (levels, out_c), output steps, the output zero point included.
        largest_accumulator: bound of ``|acc|`` at every level.
        residual_gain: (levels,), output steps per step of the residual; None without one.

    The number of fraction bits is the largest for which everything fits. Where even none is too
    many, a channel saturates: its outputs would lie beyond int8 anyway.

    Raises:
        UserError: the accumulators do not fit int32 or the residual's scale is out of range.
    """
    if largest_accumulator > INT32_MAX:
        raise UserError(
            where,
            "accumulators can overflow int32",
            got=f"sums up to {largest_accumulator}",
            expected=f"at most {INT32_MAX}",
            action="Use fewer inputs per output",
        )
    for fraction_bits in range(MAX_FRACTION_BITS, -1, -1):
        unit = 2.0**fraction_bits
        pre_shift = _pre_shift(float(np.abs(gain).max(initial=0.0)) * unit)
        residual = None if residual_gain is None else np.rint(residual_gain * unit * 65536.0)
        half = unit / 2 if fraction_bits else 0.0
        bias = np.rint(offset * unit + half)
        fits = (
            pre_shift <= MAX_PRE_SHIFT
            and largest_accumulator << pre_shift <= INT32_MAX
            and float(np.abs(bias[-1]).max(initial=0.0)) <= 32767
            and _delta_shift(bias) <= MAX_DELTA_SHIFT
            and (residual is None or float(np.abs(residual).max()) <= MAX_SIDE_MULTIPLIER)
        )
        if fits or fraction_bits == 0:
            break
    if residual is not None and float(np.abs(residual).max()) > MAX_SIDE_MULTIPLIER:
        raise UserError(
            where,
            "the residual is too large for the sum",
            got=f"scale ratio {float(np.abs(residual_gain).max()):.3g}",  # type: ignore[arg-type]
            expected="below 64",
            action="Give the sum a range of at least a 63rd of the residual's",
        )
    while pre_shift > MAX_PRE_SHIFT or largest_accumulator << pre_shift > INT32_MAX:
        pre_shift -= 1
    requant = _tables(gain * unit, bias, fraction_bits, pre_shift)
    return requant, None if residual is None else residual.astype(np.int32)


def _pre_shift(largest: float) -> int:
    """Return the least shift that brings ``largest`` into the multiplier's range."""
    limit = 32767.0 * 2.0**MAX_MULTIPLIER_SHIFT / 2.0**32
    shift = 0
    while largest > limit * 2.0**shift and shift <= MAX_PRE_SHIFT:
        shift += 1
    return shift


def _delta_shift(bias: FloatArray) -> int:
    """Return the least shift for which the levels' differences fit 8 bits."""
    delta = np.abs(bias - bias[-1]).max(initial=0.0)
    shift = 0
    while np.rint(delta / 2.0**shift) > 127 and shift <= MAX_DELTA_SHIFT:
        shift += 1
    return shift


def _tables(gain: FloatArray, bias: FloatArray, fraction_bits: int, pre_shift: int) -> Requant:
    wide = gain * 2.0 ** (32 - pre_shift)
    shift = 0
    while np.rint(np.abs(wide).max(initial=0.0) / 2.0**shift) > 32767:
        if shift == MAX_MULTIPLIER_SHIFT:
            break
        shift += 1
    base = np.clip(bias[-1], -32768, 32767)
    delta_shift = min(_delta_shift(np.concatenate([bias[:-1], base[None]])), MAX_DELTA_SHIFT)
    delta = np.clip(np.rint((bias - base) / 2.0**delta_shift), -128, 127)
    delta[-1] = 0
    return Requant(
        multiplier=np.clip(np.rint(wide / 2.0**shift), -32767, 32767).astype(np.int16),
        multiplier_shift=shift,
        bias=base.astype(np.int16),
        bias_delta=delta.astype(np.int8),
        bias_delta_shift=delta_shift,
        fraction_bits=fraction_bits,
        pre_shift=pre_shift,
    )


def make_mul(
    gains: FloatArray, zero_points: tuple[int, int], zero_point_out: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], int]:
    """Return multiplier and offset (levels,) and shift of an elementwise multiplication.

    Args:
        gains: (levels,), output steps per product of a step of each input.
        zero_points: of the inputs.
        zero_point_out: of the output.

    The shift is the largest for which no partial sum can leave int32.
    """
    largest = largest_product(*zero_points)
    for shift in range(MAX_SHIFT, -1, -1):
        multiplier = np.rint(gains * 2.0**shift)
        offset = zero_point_out * 2.0**shift + (2.0 ** (shift - 1) if shift else 0.0)
        most = float(np.abs(multiplier).max())
        if most < MAX_MULTIPLIER and most * largest + abs(offset) <= INT32_MAX:
            break
    limit = min(MAX_MULTIPLIER - 1, (INT32_MAX - abs(int(offset))) // largest)
    multiplier = np.clip(multiplier, -limit, limit)
    return multiplier.astype(np.int32), np.full(len(gains), offset).astype(np.int32), shift


def make_add(
    gains: FloatArray, zero_points: tuple[int, int], zero_point_out: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], int]:
    """Return multiplier (levels, 2), offset (levels,) and shift of an elementwise addition.

    Args:
        gains: (levels, 2), output steps per step of each input; below 2**22.
        zero_points: of the inputs.
        zero_point_out: of the output.

    The shift is the largest for which no partial sum can leave int32.
    """
    points = np.array(zero_points, np.float64)
    for shift in range(22, -1, -1):
        multiplier = np.rint(gains * 2.0**shift)
        half = 2.0 ** (shift - 1) if shift else 0.0
        offset = zero_point_out * 2.0**shift + half - multiplier @ points
        bound = 128.0 * np.abs(multiplier).sum(axis=1) + np.abs(offset)
        if np.abs(multiplier).max() <= MAX_SIDE_MULTIPLIER and bound.max() <= INT32_MAX:
            break
    multiplier = np.clip(multiplier, -MAX_SIDE_MULTIPLIER, MAX_SIDE_MULTIPLIER)
    return multiplier.astype(np.int32), offset.astype(np.int32), shift
