"""Give dense convolutions and linear layers the TFLite rule, so that CMSIS-NN can run them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from codegen.graph.cmsis_nn import obstacle
from codegen.graph.ir import INT32_MAX, Graph, Int8Array, Op, Requant, TfliteRequant
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.graph.weighted import accumulator_bound

FloatArray = NDArray[np.float64]

IDLE_MULTIPLIER = 2.0**-8
"""Stands in for a multiplier of zero, on weights set to zero: the bias still gets through."""


def use_cmsis_nn(graph: Graph) -> Graph:
    """Return ``graph`` with every layer that CMSIS-NN can run under the TFLite rule.

    :func:`codegen.graph.cmsis_nn.obstacle` says which it cannot run; a fused residual, because
    unfused its sum would need an int8 range that the graph does not know. The rule rounds
    elsewhere than ours, so outputs may differ by one step. Left alone are also layers that have no
    TFLite form: a channel whose multiplier changes sign between levels, or a bias beyond int32.
    """
    return replace(graph, ops=tuple(_convert(op, graph) for op in graph.ops))


@dataclass(frozen=True, eq=False)
class _Real:
    """A layer's requantization in real numbers, output steps per accumulator step."""

    multiplier: FloatArray
    """(levels, out_c)."""
    bias: FloatArray
    """(levels, out_c), in output steps, zero point and rounding half taken out."""


def _convert(op: Op, graph: Graph) -> Op:
    if not isinstance(op, Conv2D | Linear) or not isinstance(op.requant, Requant):
        return op
    if obstacle(op, graph.value(op.input).shape) is not None:
        return op
    real = _real(op.requant, graph.value(op.output).zero_point, len(graph.levels))
    sign = _signs(real.multiplier)
    if sign is None:
        return op
    weight, multiplier = _fold_sign(op.weight, real.multiplier, sign)
    fraction, exponent = np.frexp(multiplier)
    bias = np.rint(real.bias / multiplier)
    if np.abs(bias).max() > INT32_MAX or exponent.min() < -31 or exponent.max() > 30:
        return op
    rule = TfliteRequant(
        multiplier=np.minimum(np.rint(fraction * 2.0**31), INT32_MAX).astype(np.int32),
        shift=exponent.astype(np.int8),
        bias=bias.astype(np.int32),
    )
    converted = replace(op, weight=weight, requant=rule)
    return converted if _fits(converted, rule, graph.value(op.input).span) else op


def _real(requant: Requant, zero_point: int, levels: int) -> _Real:
    unit = 2.0**requant.fraction_bits
    half = unit / 2 if requant.fraction_bits else 0.0
    fixed = np.stack([requant.multiplier_q32(level) for level in range(levels)])
    bias = np.stack([requant.bias_q(level) for level in range(levels)])
    multiplier: FloatArray = fixed.astype(np.float64) * (2.0 ** (requant.pre_shift - 32) / unit)
    steps: FloatArray = (bias.astype(np.float64) - half) / unit - zero_point
    return _Real(multiplier, steps)


def _signs(multiplier: FloatArray) -> NDArray[np.int8] | None:
    """Return each channel's sign, 0 for a channel that is zero; None if levels disagree."""
    sign = np.sign(multiplier)
    if (sign != sign[-1]).any():
        return None
    result: NDArray[np.int8] = sign[-1].astype(np.int8)
    return result


def _fold_sign(
    weight: Int8Array, multiplier: FloatArray, sign: NDArray[np.int8]
) -> tuple[Int8Array, FloatArray]:
    """Return weights times the sign, so that multipliers are positive; TFLite knows no others."""
    by_row = sign.reshape(-1, *[1] * (weight.ndim - 1))
    positive = np.where(sign == 0, IDLE_MULTIPLIER, np.abs(multiplier))
    return weight * by_row, positive


def _fits(op: Conv2D | Linear, rule: TfliteRequant, span: int) -> bool:
    """Return whether sum plus bias, shifted left, stays in int32 at every level."""
    bound = accumulator_bound(op, len(rule.bias) - 1, span) + np.abs(rule.bias.astype(np.int64))
    return int((bound << np.maximum(rule.shift, 0).astype(np.int64)).max()) <= INT32_MAX
