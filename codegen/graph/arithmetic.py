"""The integer contract's arithmetic in NumPy; docs/integer-contract.md holds the rules."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import Int8Array, Requant, Residual, TfliteRequant, Uint8Array, Value

Int64Array = NDArray[np.int64]

INPUT_SPAN = 255
"""Largest absolute value of ``x - zero_point`` for int8 x and zero point."""


def kept_weight(
    weight: Int8Array, group_size: int, group_level: Uint8Array | None, level: int
) -> Int8Array:
    """Return ``weight`` with the groups that ``level`` does not contain set to zero.

    Args:
        weight: shape (..., in_c).
        group_size: consecutive input channels of one group.
        group_level: shape (..., ceil(in_c / group_size)), or None to keep everything; axes but the
            first may be 1 to stand for all their entries.
        level: 0 is the sparsest.
    """
    if group_level is None:
        return weight
    keep = np.repeat(group_level <= level, group_size, axis=-1)[..., : weight.shape[-1]]
    return np.where(keep, weight, np.int8(0))


def exact_dtype(weight_rows: Int8Array) -> np.dtype[Any]:
    """Return the smallest float type in which a product with ``weight_rows`` is exact.

    Every partial sum, in any order, is an integer of at most ``max_row(sum |w|) * 255``. A float
    type holds all integers up to 2**24 (float32) or 2**53 (float64), so matrix products and fused
    multiply-adds round nothing.

    Args:
        weight_rows: shape (out_c, ...).
    """
    rows = np.abs(weight_rows.astype(np.int64)).reshape(weight_rows.shape[0], -1).sum(axis=1)
    bound = int(rows.max(initial=0)) * INPUT_SPAN
    return np.dtype(np.float32 if bound < 2**24 else np.float64)


def requantize(
    acc: NDArray[Any],
    requant: Requant | TfliteRequant,
    level: int,
    out_zero_point: int,
    clamp: tuple[int, int],
    residual: tuple[Residual, Int8Array, Value] | None = None,
) -> Int8Array:
    """Turn accumulators (n, h, w, out_c) into int8 by the rule ``requant`` stands for.

    Args:
        acc: integers, in any type that holds them exactly.
        requant: nestnet or TFLite rule.
        level: 0 is the sparsest.
        out_zero_point: used by the TFLite rule only; the nestnet bias contains it.
        clamp: smallest and largest output.
        residual: the residual's constants, its int8 tensor and its value; nestnet rule only.
    """
    if isinstance(requant, TfliteRequant):
        total = _tflite_scale(
            acc.astype(np.int64) + requant.bias[level].astype(np.int64),
            requant.multiplier[level].astype(np.int64),
            requant.shift[level].astype(np.int64),
        )
        total += out_zero_point
    else:
        total = acc.astype(np.int64)
        total <<= requant.pre_shift
        total *= requant.multiplier_q32(level).astype(np.int64)
        total += 1 << 31
        total >>= 32
        total += requant.bias_q(level).astype(np.int64)
        if residual is not None:
            constants, tensor, value = residual
            extra = tensor.astype(np.int64) - value.zero_point
            extra *= int(constants.multiplier[level])
            extra += 1 << 15
            extra >>= 16
            total += extra
        total >>= requant.fraction_bits
    return total.clip(clamp[0], clamp[1]).astype(np.int8)


def _tflite_scale(value: Int64Array, multiplier: Int64Array, shift: Int64Array) -> Int64Array:
    """Multiply by ``multiplier * 2**(shift - 31)`` with TFLite's two roundings.

    Source: gemmlowp fixedpoint.h, SaturatingRoundingDoublingHighMul then RoundingDivideByPOT.
    The doubling high product rounds half up; the division rounds half away from zero.
    """
    left = np.maximum(shift, 0)
    right = np.maximum(-shift, 0)
    high: Int64Array = ((value << left) * multiplier + (1 << 30)) >> 31
    mask = (np.int64(1) << right) - 1
    remainder = high & mask
    threshold = (mask >> 1) + (high < 0)
    result: Int64Array = (high >> right) + (remainder > threshold)
    return result
