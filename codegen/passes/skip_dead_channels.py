"""Skip channels that are known to contribute nothing, and drop those no level needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from codegen.graph.arithmetic import kept_weight, requantize
from codegen.graph.ir import NEVER, Graph, Op, Requant, TfliteRequant, Uint8Array
from codegen.graph.ops.add import Add
from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.ops.bilinear import Bilinear
from codegen.graph.ops.concat import Concat
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.graph.ops.lookup import Lookup
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.ops.pad import Pad
from codegen.graph.ops.rearrange import Rearrange
from codegen.graph.ops.reshape import Reshape
from codegen.graph.weighted import effective_levels, level_weight

BoolArray = NDArray[np.bool_]

QUAD = 4
"""Channels most kernels take at once."""


def skip_dead_channels(graph: Graph) -> Graph:
    """Return ``graph`` without work on dead channels; ``graph`` itself if there is none.

    A channel is dead at a level where each of its elements is its value's zero point, whatever the
    image: no weight is left that meets a living channel, a fused residual is dead too, and the
    requantized accumulator 0 is the zero point. Padding is the zero point as well, so a dead
    channel adds exactly 0 to every sum that reads it.

    - A nested group of dead channels is not walked: its level rises to the first at which one of
      them lives. The channels of a depthwise layer that have levels are such groups. Layers whose
      levels all share one weight set only lose groups dead at every level; telling the others
      apart could force the larger storage.
    - A channel that adds nothing to any consumer at any level, because it is dead or its weights
      are zero, is removed from its producer and its consumers. It stays where its removal would
      split a nested group, leave a value empty, or take a count off a multiple of 4, and where it
      is part of a graph's input or output, an addition, a residual or a grouped convolution.

    Both are repeated until nothing changes. A constant other than the zero point stays: folded into
    the next layer it would need a bias in accumulator steps, which the integer contract does not
    have, and near a border the padding would not hold it. See docs/adr/0005-dead-channels.md.
    """
    while True:
        before = graph
        graph = _raise_levels(graph)
        graph = _remove(graph, _removable(graph))
        if graph is before:
            return graph


def dead_elements(graph: Graph) -> dict[str, BoolArray]:
    """Return, for every value, which elements are dead: (levels, h, w, c)."""
    dead: dict[str, BoolArray] = {}
    for name in graph.inputs:
        dead[name] = np.zeros((len(graph.levels), *graph.value(name).shape), np.bool_)
    for op in graph.ops:
        shape = (len(graph.levels), *graph.value(op.output).shape)
        dead[op.output] = np.broadcast_to(_dead_output(op, graph, dead), shape)
    return dead


def _dead_output(op: Op, graph: Graph, dead: dict[str, BoolArray]) -> BoolArray:
    """Return the dead elements of an op's output, in a shape that broadcasts to it."""
    levels = len(graph.levels)
    match op:
        case Conv2D() | Linear():
            return np.stack([_dead_rows(op, graph, dead, level) for level in range(levels)])
        case MaxPool() | AvgPool() | Bilinear():
            return np.logical_and.reduce(dead[op.input], axis=(1, 2), keepdims=True)
        case Reshape():
            return dead[op.input].reshape(levels, *graph.value(op.output).shape)
        case Add() if op.constant is None:
            first, second = op.inputs
            return dead[first] & dead[second] & _stays_zero(op, graph)[:, None, None, None]
        case Rearrange():
            return op.moved(dead[op.input], graph.value(op.output).shape)
        case Pad():
            return op.around(dead[op.input], True)
        case Concat():
            return np.concatenate([dead[name] for name in op.inputs], axis=op.axis + 1)
        case Lookup():
            return dead[op.input] & _stays_zero(op, graph)[:, None, None, None]
    return np.zeros((1, 1, 1, 1), np.bool_)


def _dead_rows(
    op: Conv2D | Linear, graph: Graph, dead: dict[str, BoolArray], level: int
) -> BoolArray:
    """Return the output channels dead at ``level``, shape (1, 1, out_c)."""
    out_c = len(op.weight)
    per_row = op.weight.shape[-1]
    columns = _dead_columns(op, dead)[level].reshape(-1, per_row)
    met = np.repeat(~columns, out_c // len(columns), axis=0)
    weighty = (level_weight(op, level) != 0).reshape(out_c, -1, per_row).any(axis=1)
    zero_point = graph.value(op.output).zero_point
    clamp = (op.act_min, op.act_max)
    idle = requantize(np.zeros((1, 1, 1, out_c), np.int64), op.requant, level, zero_point, clamp)
    rows: BoolArray = (idle[0] == zero_point) & ~(weighty & met).any(axis=1)
    if isinstance(op, Conv2D) and op.residual is not None:
        rows &= dead[op.residual.input][level].all(axis=(0, 1))
    return rows


def _dead_columns(op: Conv2D | Linear, dead: dict[str, BoolArray]) -> BoolArray:
    """Return, per level, which inputs of a layer's weights are dead: (levels, in_c)."""
    source = dead[op.input]
    if isinstance(op, Linear):
        return source.reshape(len(source), -1)
    columns: BoolArray = np.logical_and.reduce(source, axis=(1, 2))
    return columns


def _stays_zero(op: Add | Lookup, graph: Graph) -> BoolArray:
    """Return the levels at which zero points give the output's zero point, (levels,)."""
    inputs = tuple(
        np.full((1, 1, 1, 1), graph.value(name).zero_point, np.int8) for name in op.inputs
    )
    results = [op.run(graph, inputs, level) for level in range(len(graph.levels))]
    same: BoolArray = np.array(results).reshape(-1) == graph.value(op.output).zero_point
    return same


def _raise_levels(graph: Graph) -> Graph:
    dead = dead_elements(graph)
    ops: list[Op] = []
    for op in graph.ops:
        if isinstance(op, Conv2D | Linear) and op.group_level is not None:
            op = _raised(op, op.group_level, ~_dead_columns(op, dead))
        ops.append(op)
    same = all(new is old for new, old in zip(ops, graph.ops, strict=True))
    return graph if same else replace(graph, ops=tuple(ops))


def _raised(op: Conv2D | Linear, group_level: Uint8Array, alive: BoolArray) -> Conv2D | Linear:
    """Return ``op`` without groups at levels where none of their inputs lives.

    Args:
        op: a nested layer.
        group_level: its levels.
        alive: (levels, in_c).
    """
    spare = -alive.shape[1] % op.group_size
    groups = np.pad(alive, ((0, 0), (0, spare))).reshape(len(alive), -1, op.group_size).any(axis=2)
    first = np.where(groups.any(axis=0), groups.argmax(axis=0), NEVER)
    if effective_levels(op) <= {0}:
        first[first != NEVER] = 0
    if isinstance(op, Conv2D) and op.groups != 1:
        first = first[:, None, None, None]  # each channel's filter meets that input alone
    level = np.maximum(group_level, first).astype(np.uint8)
    if np.array_equal(level, group_level):
        return op
    weight = kept_weight(op.weight, op.group_size, level, NEVER - 1)
    return replace(op, weight=weight, group_level=level)


def _removable(graph: Graph) -> dict[str, BoolArray]:
    """Return the largest consistent set of channels to remove, per value (c,)."""
    dead = dead_elements(graph)
    gone = {value.name: np.ones(value.shape[2], np.bool_) for value in graph.values}
    for name in (*graph.inputs, *graph.outputs):
        gone[name][:] = False
    silent = {op.name: _silent(op, dead) for op in graph.ops if isinstance(op, Conv2D | Linear)}
    while True:
        before = sum(int(mask.sum()) for mask in gone.values())
        for op in graph.ops:
            _narrow(op, graph, gone, silent)
        if sum(int(mask.sum()) for mask in gone.values()) < before:
            continue
        for mask in gone.values():
            _keep_some(mask)
        if sum(int(mask.sum()) for mask in gone.values()) == before:
            return gone


def _silent(op: Conv2D | Linear, dead: dict[str, BoolArray]) -> BoolArray:
    """Return the inputs of a layer's weights that never add anything: (weight columns,).

    For grouped convolutions the answer is unused.
    """
    if isinstance(op, Conv2D) and op.groups != 1:
        return np.zeros(op.weight.shape[-1], np.bool_)
    kept = level_weight(op, NEVER - 1) != 0
    unread = ~kept.any(axis=tuple(range(kept.ndim - 1)))
    silent: BoolArray = unread | _dead_columns(op, dead).all(axis=0)
    return silent


def _keep_some(mask: BoolArray) -> None:
    """Keep one channel of a value, and a multiple of 4 where there was one."""
    if mask.all():
        mask[0] = False
    if len(mask) % QUAD == 0:
        removed = np.flatnonzero(mask)
        mask[removed[len(removed) - len(removed) % QUAD :]] = False


def _narrow(op: Op, graph: Graph, gone: dict[str, BoolArray], silent: dict[str, BoolArray]) -> None:
    """Take back what ``op`` forbids to remove from the values it reads and writes."""
    if isinstance(op, Concat):
        _narrow_parts(op, gone)
        return
    if len(op.inputs) > 1 and not isinstance(op, Conv2D):
        for name in (*op.inputs, op.output):
            gone[name][:] = False
        return
    source, target = gone[op.inputs[0]], gone[op.output]
    if isinstance(op, Conv2D) and op.residual is not None:
        gone[op.residual.input][:] = target[:] = False
    if isinstance(op, Linear) or (isinstance(op, Conv2D) and op.groups == 1):
        copies = len(silent[op.name]) // len(source)
        flat = _whole_groups(np.tile(source, copies) & silent[op.name], op.group_size)
        source &= flat.reshape(copies, -1).all(axis=0)
        return
    copies = _linked(op, graph)
    if not copies:
        source[:] = target[:] = False
    elif isinstance(op, Conv2D):
        source &= target.reshape(-1, copies).all(axis=1)
        target &= np.repeat(source, copies)
    else:
        source &= target.reshape(copies, -1).all(axis=0)
        target &= np.tile(source, copies)


def _narrow_parts(op: Concat, gone: dict[str, BoolArray]) -> None:
    """Take back channels that the output needs of an input, or an input of the output."""
    first = 0
    for name in op.inputs:
        target = gone[op.output]
        if op.axis == 2:
            target = target[first : first + len(gone[name])]
            first += len(target)
        gone[name] &= target
        target &= gone[name]


def _linked(op: Op, graph: Graph) -> int:
    """Return how many outputs each input channel has for itself; 0 if channels mix."""
    before, after = (graph.value(name).shape for name in (op.inputs[0], op.output))
    match op:
        case Conv2D():
            return after[2] // before[2] if op.groups == before[2] else 0
        case MaxPool() | AvgPool() | Bilinear() | Lookup():
            return 1
        case Reshape() | Pad() if after[2] == before[2]:
            return 1
        case Reshape() if after[:2] == (1, 1):
            return before[0] * before[1]
    return 0


def _whole_groups(mask: BoolArray, group_size: int) -> BoolArray:
    """Return ``mask`` without the groups it does not cover."""
    spare = -len(mask) % group_size
    padded = np.pad(mask, (0, spare), constant_values=True)
    whole = padded.reshape(-1, group_size).all(axis=1)
    return np.repeat(whole, group_size)[: len(mask)]


def _remove(graph: Graph, gone: dict[str, BoolArray]) -> Graph:
    """Return ``graph`` without the channels ``gone``."""
    if not any(mask.any() for mask in gone.values()):
        return graph
    keep = {name: ~mask for name, mask in gone.items()}
    values = tuple(
        replace(value, shape=(*value.shape[:2], int(keep[value.name].sum())))
        for value in graph.values
    )
    ops = tuple(
        _cut(op, keep[op.input], keep[op.output]) if isinstance(op, Conv2D | Linear) else op
        for op in graph.ops
    )
    return replace(graph, values=values, ops=ops)


def _cut(op: Conv2D | Linear, source: BoolArray, target: BoolArray) -> Conv2D | Linear:
    """Return ``op`` on the kept channels of its input and output."""
    rows = op.weight[target]
    requant = _cut_requant(op.requant, target)
    if isinstance(op, Conv2D) and op.groups != 1:
        groups = op.groups - int((~source).sum())
        level = op.group_level
        if level is not None:
            level = level[target]
            if groups == 1:  # nested from now on
                level = np.ascontiguousarray(np.broadcast_to(level, rows.shape))
        return replace(op, weight=rows, group_level=level, requant=requant, groups=groups)
    columns = np.tile(source, op.weight.shape[-1] // len(source))
    level = op.group_level
    if level is not None:
        level = np.ascontiguousarray(level[target][..., columns[:: op.group_size]])
    weight = np.ascontiguousarray(rows[..., columns])
    return replace(op, weight=weight, group_level=level, requant=requant)


def _cut_requant(requant: Requant | TfliteRequant, target: BoolArray) -> Requant | TfliteRequant:
    if isinstance(requant, TfliteRequant):
        return TfliteRequant(
            multiplier=requant.multiplier[:, target].copy("C"),
            shift=requant.shift[:, target].copy("C"),
            bias=requant.bias[:, target].copy("C"),
        )
    return replace(
        requant,
        multiplier=requant.multiplier[:, target].copy("C"),
        bias=requant.bias[target],
        bias_delta=requant.bias_delta[:, target].copy("C"),
    )
