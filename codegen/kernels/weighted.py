"""What convolutions and linear layers share: checks, tables, multiply-accumulates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.graph.arithmetic import kept_weight
from codegen.graph.cmsis_nn import obstacle
from codegen.graph.ir import (
    NEVER,
    Conv2D,
    Graph,
    Int8Array,
    Linear,
    Requant,
    Shape,
    TfliteRequant,
    Uint8Array,
)
from codegen.program.lowering import Draft, FieldSpec, Options
from codegen.program.packed import CmsisConstants, RequantConstants

INT32_MAX = 2**31 - 1
MAX_RESIDUAL_MULTIPLIER = 2**22

Broken = tuple[str, object]


def level_weight(op: Conv2D | Linear, level: int) -> Int8Array:
    """Return the weights of ``op`` with those that ``level`` does not contain set to zero."""
    return kept_weight(op.weight, op.group_size, op.group_level, level)


def as_patches(op: Conv2D | Linear) -> tuple[Int8Array, Uint8Array | None]:
    """Return weights (out_c, kernel_h, kernel_w, in_c) and group levels of the same rank."""
    if isinstance(op, Conv2D):
        return op.weight, op.group_level
    level = None if op.group_level is None else op.group_level[:, None, None, :]
    return op.weight[:, None, None, :], level


def kept_macs(op: Conv2D | Linear, positions: int, level: int) -> int:
    """Return the kept weights at ``level`` times ``positions`` output positions."""
    if op.group_level is None:
        return int(op.weight.size) * positions
    keep = np.repeat(op.group_level <= level, op.group_size, axis=-1)[..., : op.weight.shape[-1]]
    return int(np.count_nonzero(np.broadcast_to(keep, op.weight.shape))) * positions


def effective_levels(op: Conv2D | Linear) -> frozenset[int]:
    """Return the levels that add at least one group; empty for a layer with no weights kept."""
    if op.group_level is None:
        return frozenset({0})
    return frozenset(int(level) for level in np.unique(op.group_level)) - {NEVER}


def check_weighted(op: Conv2D | Linear, graph: Graph) -> Iterator[Broken]:
    """Yield the broken rules about weights, groups, tables and accumulators."""
    levels = len(graph.levels)
    out_c = op.weight.shape[0]
    if op.weight.dtype != np.int8:
        yield "weights are int8", op.weight.dtype
        return
    if op.weight.size and int(op.weight.min()) < -127:
        yield "weights are symmetric, -127..127", int(op.weight.min())
    yield from check_clamp(op.act_min, op.act_max)
    groups_broken = list(_check_groups(op, levels))
    yield from groups_broken
    table_broken = list(_check_requant(op.requant, levels, out_c))
    yield from table_broken
    if groups_broken or table_broken:
        return
    yield from _check_overflow(op, levels, graph.value(op.input).span)


def check_cmsis_nn(op: Conv2D | Linear, graph: Graph) -> Iterator[Broken]:
    """Yield why a layer under the TFLite rule, which only CMSIS-NN has, is not one it computes."""
    if isinstance(op.requant, TfliteRequant):
        reason = obstacle(op, graph.value(op.input).shape)
        if reason is not None:
            yield "the TFLite rule only on layers that CMSIS-NN computes", reason


def keep_from_cmsis_nn(draft: Draft, op: Conv2D | Linear, graph: Graph, options: Options) -> Draft:
    """Return ``draft`` of one of our kernels, saying why CMSIS-NN did not get it if it could."""
    if options.kernels != "cmsis-nn":
        return draft
    why = obstacle(op, graph.value(op.input).shape) or "its tables have no TFLite form"
    return replace(draft, reason=f"{draft.reason}; not for CMSIS-NN: {why}")


def check_clamp(act_min: int, act_max: int) -> Iterator[Broken]:
    """Yield the broken rules about an output range."""
    if not -128 <= act_min <= act_max <= 127:
        yield "-128 <= act_min <= act_max <= 127", (act_min, act_max)


def _check_groups(op: Conv2D | Linear, levels: int) -> Iterator[Broken]:
    if op.group_size not in (1, 2, 4):
        yield "group_size is 1, 2 or 4", op.group_size
        return
    if op.group_level is None:
        if op.group_size != 1:
            yield "group_size is 1 without group_level", op.group_size
        return
    expected: tuple[int, ...]
    expected = (*op.weight.shape[:-1], -(-op.weight.shape[-1] // op.group_size))
    if isinstance(op, Conv2D) and op.groups != 1:
        expected = (op.weight.shape[0], 1, 1, 1)
        if op.group_size != 1:
            yield "group_size is 1 where channels have levels", op.group_size
            return
    if op.group_level.dtype != np.uint8 or op.group_level.shape != expected:
        got = (str(op.group_level.dtype), op.group_level.shape)
        yield f"group_level is uint8 of shape {expected}", got
        return
    wrong = op.group_level[(op.group_level >= levels) & (op.group_level != NEVER)]
    if wrong.size:
        yield f"group_level is below {levels} or {NEVER}", int(wrong[0])
    dropped = op.weight.astype(np.int64) - level_weight(op, NEVER - 1)
    if dropped.any():
        yield "weights of groups no level keeps are zero", int(np.count_nonzero(dropped))


def _check_requant(requant: Requant | TfliteRequant, levels: int, out_c: int) -> Iterator[Broken]:
    table = (levels, out_c)
    if isinstance(requant, TfliteRequant):
        yield from _check_array("multiplier", requant.multiplier, np.int32, table)
        yield from _check_array("shift", requant.shift, np.int8, table)
        yield from _check_array("bias", requant.bias, np.int32, table)
        if requant.shift.size and not -31 <= requant.shift.min() <= requant.shift.max() <= 30:
            yield "shift is -31..30", (int(requant.shift.min()), int(requant.shift.max()))
        if requant.multiplier.size and requant.multiplier.min() < 0:
            yield "multiplier is not negative", int(requant.multiplier.min())
        return
    yield from _check_array("multiplier", requant.multiplier, np.int16, table)
    yield from _check_array("bias", requant.bias, np.int16, (out_c,))
    yield from _check_array("bias_delta", requant.bias_delta, np.int8, table)
    if requant.bias_delta.shape == table and requant.bias_delta[-1].any():
        yield "bias_delta of the densest level is zero", int(np.abs(requant.bias_delta[-1]).max())
    for name, value, largest in (
        ("multiplier_shift", requant.multiplier_shift, 16),
        ("bias_delta_shift", requant.bias_delta_shift, 8),
        ("fraction_bits", requant.fraction_bits, 8),
        ("pre_shift", requant.pre_shift, 8),
    ):
        if not 0 <= value <= largest:
            yield f"{name} is 0..{largest}", value


def _check_array(
    name: str, array: NDArray[Any], dtype: type[np.generic], shape: tuple[int, ...]
) -> Iterator[Broken]:
    if array.dtype != dtype or array.shape != shape:
        expected = f"{name} is {np.dtype(dtype).name} of shape {shape}"
        yield expected, (array.dtype.name, array.shape)


def accumulator_bound(op: Conv2D | Linear, level: int, span: int) -> NDArray[np.int64]:
    """Return the largest possible ``|acc|`` of each output channel at ``level``, int64.

    ``span`` is that of the op's input, :attr:`codegen.graph.ir.Value.span`.
    """
    weight = level_weight(op, level).astype(np.int64).reshape(op.weight.shape[0], -1)
    bound: NDArray[np.int64] = np.abs(weight).sum(axis=1) * span
    return bound


def _check_overflow(op: Conv2D | Linear, levels: int, span: int) -> Iterator[Broken]:
    for level in range(levels):
        bound = accumulator_bound(op, level, span)
        rule = "accumulators fit int32"
        if isinstance(op.requant, TfliteRequant):
            bound = bound + np.abs(op.requant.bias[level].astype(np.int64))
            bound = bound << np.maximum(op.requant.shift[level], 0).astype(np.int64)
        else:
            bound = bound << np.int64(op.requant.pre_shift)
            rule = "accumulators << pre_shift fit int32"
        if int(bound.max(initial=0)) > INT32_MAX:
            channel = int(bound.argmax())
            yield rule, f"{int(bound[channel])} at level {level}, channel {channel}"
            return


def requant_constants(op: Conv2D | Linear, graph: Graph) -> RequantConstants:
    """Return the level-independent constants of a layer under the nestnet rule."""
    assert isinstance(op.requant, Requant)
    residual = op.residual if isinstance(op, Conv2D) else None
    return RequantConstants(
        in_zero_point=graph.value(op.input).zero_point,
        multiplier_shift=op.requant.multiplier_shift,
        bias_delta_shift=op.requant.bias_delta_shift,
        fraction_bits=op.requant.fraction_bits,
        pre_shift=op.requant.pre_shift,
        act_min=op.act_min,
        act_max=op.act_max,
        residual_zero_point=0 if residual is None else graph.value(residual.input).zero_point,
    )


def cmsis_constants(op: Conv2D | Linear, graph: Graph) -> CmsisConstants:
    """Return the literal arguments of a layer handed to CMSIS-NN."""
    return CmsisConstants(
        in_zero_point=graph.value(op.input).zero_point,
        out_zero_point=graph.value(op.output).zero_point,
        act_min=op.act_min,
        act_max=op.act_max,
    )


def table_fields(op: Conv2D | Linear, levels: int) -> tuple[FieldSpec, ...]:
    """Return the requantization tables of ``op`` as image members."""
    requant = op.requant
    if isinstance(requant, TfliteRequant):
        return (
            FieldSpec("multiplier", requant.multiplier, 4),
            FieldSpec("shift", requant.shift.astype(np.int32), 4),
            FieldSpec("bias", requant.bias, 4),
        )
    fields = [FieldSpec("multiplier", requant.multiplier, 2), FieldSpec("bias", requant.bias, 2)]
    if levels > 1:
        fields.append(FieldSpec("bias_delta", requant.bias_delta[:-1], 1))
    if isinstance(op, Conv2D) and op.residual is not None:
        fields.append(FieldSpec("residual_multiplier", op.residual.multiplier, 4))
    return tuple(fields)


def channel_fields(op: Conv2D) -> tuple[FieldSpec, ...]:
    """Return the levels of a depthwise layer's channels, unless all levels have all channels."""
    if op.group_level is None or not op.group_level.any():
        return ()
    return (FieldSpec("channel_level", op.group_level.reshape(-1), 1),)


def table_bytes(op: Conv2D | Linear, level: int, levels: int) -> int:
    """Return the table bytes that running ``level`` reads."""
    out_c = op.weight.shape[0]
    if isinstance(op.requant, TfliteRequant):
        return int(12 * out_c)
    delta = out_c if level < levels - 1 else 0
    residual = 4 if isinstance(op, Conv2D) and op.residual is not None else 0
    return int(4 * out_c + delta + residual)


def pixels(shape: Shape) -> int:
    """Return height times width."""
    return shape[0] * shape[1]
