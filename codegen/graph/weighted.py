"""What convolutions and linear layers share: nested weights, their rules, their requantization."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from codegen.graph.arithmetic import kept_weight
from codegen.graph.ir import (
    INT32_MAX,
    NEVER,
    Broken,
    Graph,
    Int8Array,
    OneInput,
    Requant,
    Residual,
    TfliteRequant,
    Uint8Array,
)

MAX_RESIDUAL_MULTIPLIER = 2**22


@dataclass(frozen=True, eq=False)
class Weighted(OneInput):
    """An operator whose weights levels may share: a convolution or a linear layer."""

    weight: Int8Array
    """Shape (out_c, ..., in_c)."""
    group_size: int
    """G of the nested groups: 1, 2 or 4 consecutive input channels; 1 when group_level is None."""
    group_level: Uint8Array | None
    """First level that contains the group, NEVER for none, in the shape :meth:`group_shape` says;
    None for a layer that is dense at every level."""
    if TYPE_CHECKING:  # fields of both kinds

        @property
        def requant(self) -> Requant | TfliteRequant:
            """How accumulators become outputs."""

        @property
        def act_min(self) -> int:
            """Smallest output."""

        @property
        def act_max(self) -> int:
            """Largest output."""

        @property
        def stride(self) -> tuple[int, int]:
            """Vertical and horizontal."""

        @property
        def kernel(self) -> tuple[int, int]:
            """Height and width of the window."""

        @property
        def padding(self) -> tuple[int, int, int, int]:
            """Top, left, bottom, right."""

        @property
        def groups(self) -> int:
            """1 where every output reads all input channels."""

        @property
        def residual(self) -> Residual | None:
            """A second input added in the epilogue."""

    def group_shape(self) -> tuple[int, ...]:
        """Return the shape that ``group_level`` has."""
        return (*self.weight.shape[:-1], -(-self.weight.shape[-1] // self.group_size))

    @property
    def density(self) -> float:
        """Return the share of the weights that some level keeps."""
        return kept_macs(self, 1, NEVER - 1) / self.weight.size

    @property
    def channels_have_levels(self) -> bool:
        """Return whether ``group_level`` tells whole output channels apart."""
        return False


def level_weight(op: Weighted, level: int) -> Int8Array:
    """Return the weights of ``op`` with those that ``level`` does not contain set to zero."""
    return kept_weight(op.weight, op.group_size, op.group_level, level)


def kept_macs(op: Weighted, positions: int, level: int) -> int:
    """Return the kept weights at ``level`` times ``positions`` output positions."""
    if op.group_level is None:
        return int(op.weight.size) * positions
    keep = np.repeat(op.group_level <= level, op.group_size, axis=-1)[..., : op.weight.shape[-1]]
    return int(np.count_nonzero(np.broadcast_to(keep, op.weight.shape))) * positions


def effective_levels(op: Weighted) -> frozenset[int]:
    """Return the levels that add at least one group; empty for a layer with no weights kept."""
    if op.group_level is None:
        return frozenset({0})
    return frozenset(int(level) for level in np.unique(op.group_level)) - {NEVER}


def check_weighted(op: Weighted, graph: Graph) -> Iterator[Broken]:
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


def check_clamp(act_min: int, act_max: int) -> Iterator[Broken]:
    """Yield the broken rules about an output range."""
    if not -128 <= act_min <= act_max <= 127:
        yield "-128 <= act_min <= act_max <= 127", (act_min, act_max)


def _check_groups(op: Weighted, levels: int) -> Iterator[Broken]:
    if op.group_size not in (1, 2, 4):
        yield "group_size is 1, 2 or 4", op.group_size
        return
    if op.group_level is None:
        if op.group_size != 1:
            yield "group_size is 1 without group_level", op.group_size
        return
    expected = op.group_shape()
    if op.channels_have_levels and op.group_size != 1:
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


def accumulator_bound(op: Weighted, level: int, span: int) -> NDArray[np.int64]:
    """Return the largest possible ``|acc|`` of each output channel at ``level``, int64.

    ``span`` is that of the op's input, :attr:`codegen.graph.ir.Value.span`.
    """
    weight = level_weight(op, level).astype(np.int64).reshape(op.weight.shape[0], -1)
    bound: NDArray[np.int64] = np.abs(weight).sum(axis=1) * span
    return bound


def _check_overflow(op: Weighted, levels: int, span: int) -> Iterator[Broken]:
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
