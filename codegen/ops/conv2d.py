"""Convolution: nested, dense, depthwise and grouped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.graph.arithmetic import exact_dtype, requantize
from codegen.graph.ir import Conv2D, Graph, Int8Array, Shape, TfliteRequant
from codegen.kernels import cost
from codegen.kernels.in_place import (
    ELEMENTWISE,
    Overlap,
    depthwise_overlap,
    patch_overlap,
    residual_overlap,
    window_overlap,
)
from codegen.kernels.weighted import (
    MAX_RESIDUAL_MULTIPLIER,
    channel_fields,
    check_cmsis_nn,
    check_weighted,
    cmsis_constants,
    keep_from_cmsis_nn,
    kept_macs,
    level_weight,
    pixels,
    requant_constants,
    table_bytes,
    table_fields,
)
from codegen.kernels.window import (
    CHANNEL_BYTES,
    DEPTHWISE_PLANES,
    check_window,
    cmsis_scratch_bytes,
    depthwise_band,
    depthwise_scratch_bytes,
    out_extent,
    pad,
    patch_buffer_bytes,
    taps,
    window_shape,
)
from codegen.lower.storage_choice import Storage, choose_storage, storage_fields
from codegen.oprule import Broken, OpRule, register
from codegen.program.lowering import Draft, FieldSpec, Options
from codegen.program.packed import Kernel, LevelCost, WindowShape


class Conv2DRule(OpRule[Conv2D]):
    """Shape, reference, checks and kernel choice of :class:`codegen.graph.ir.Conv2D`."""

    def out_shape(self, op: Conv2D, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return the output extent with one channel per weight row."""
        return (*out_extent(op, shapes[0]), int(op.weight.shape[0]))

    def run(self, op: Conv2D, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Accumulate every kernel position and requantize."""
        acc = accumulate(op, graph, inputs[0], level)
        residual = None
        if op.residual is not None:
            residual = (op.residual, inputs[1], graph.value(op.residual.input))
        zero_point = graph.value(op.output).zero_point
        clamp = (op.act_min, op.act_max)
        return requantize(acc, op.requant, level, zero_point, clamp, residual)

    def check(self, op: Conv2D, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about window, channels, weights, tables and residual."""
        if op.weight.ndim != 4:
            yield "weight has 4 dimensions", op.weight.shape
            return
        window_broken = list(check_window(op))
        yield from window_broken
        in_c = graph.value(op.input).shape[2]
        out_c = int(op.weight.shape[0])
        if op.groups < 1 or in_c % op.groups or out_c % op.groups:
            yield f"groups divides {in_c} input and {out_c} output channels", op.groups
            return
        if op.weight.shape[3] != in_c // op.groups:
            yield f"weight has {in_c // op.groups} input channels per group", op.weight.shape[3]
            return
        yield from _check_channel_levels(op)
        yield from check_weighted(op, graph)
        if not window_broken:
            yield from check_cmsis_nn(op, graph)
        yield from _check_residual(op, graph)

    def macs(self, op: Conv2D, graph: Graph, level: int) -> int:
        """Return kept weights times output positions."""
        return kept_macs(op, pixels(graph.value(op.output).shape), level)

    def lower(self, op: Conv2D, graph: Graph, options: Options) -> Draft:
        """Choose among the nested, dense, depthwise, grouped and CMSIS-NN kernels."""
        out_shape = graph.value(op.output).shape
        shape = window_shape(op, graph.value(op.input).shape, out_shape)
        if isinstance(op.requant, TfliteRequant):
            return _lower_cmsis(op, graph, shape)
        if op.groups == 1:
            draft = _lower_patches(op, graph, shape, options)
        else:
            draft = _lower_plain(op, graph, shape)
        return keep_from_cmsis_nn(draft, op, graph, options)


def accumulate(op: Conv2D, graph: Graph, images: Int8Array, level: int) -> NDArray[Any]:
    """Return exact accumulators (n, out_h, out_w, out_c) of (n, h, w, c) images."""
    weight = level_weight(op, level)
    dtype = exact_dtype(weight)
    zero_point = graph.value(op.input).zero_point
    out_h, out_w, out_c = graph.value(op.output).shape
    padded = pad(images, op, zero_point).astype(dtype)
    padded -= zero_point
    scaled = weight.astype(dtype)
    n, groups, per_group = images.shape[0], op.groups, weight.shape[3]
    acc = np.zeros((n, out_h, out_w, out_c), dtype)
    for ky, kx, tap in taps(padded, op, out_h, out_w):
        kernel = scaled[:, ky, kx, :]
        if groups == 1:
            acc += (tap.reshape(-1, per_group) @ kernel.T).reshape(acc.shape)
        elif per_group == 1:
            by_group = kernel.reshape(groups, -1)
            acc += (tap[..., None] * by_group).reshape(acc.shape)
        else:
            split = tap.reshape(-1, groups, per_group).transpose(1, 0, 2)
            product = split @ kernel.reshape(groups, -1, per_group).transpose(0, 2, 1)
            acc += product.transpose(1, 0, 2).reshape(acc.shape)
    return acc


def _check_channel_levels(op: Conv2D) -> Iterator[Broken]:
    if op.groups == 1 or op.group_level is None:
        return
    if not op.groups == op.weight.shape[0] * op.weight.shape[3] == op.weight.shape[0]:
        got = f"{op.groups} groups, {op.weight.shape[0]} output channels"
        yield "group_level only where groups is 1 or on depthwise layers", got
    elif op.residual is not None:
        yield "no residual where channels have levels", op.residual.input


def _check_residual(op: Conv2D, graph: Graph) -> Iterator[Broken]:
    if op.residual is None:
        return
    shape, expected = graph.value(op.residual.input).shape, graph.value(op.output).shape
    if shape != expected:
        yield f"residual has the output's shape {expected}", shape
    multiplier = op.residual.multiplier
    levels = (len(graph.levels),)
    if multiplier.dtype != np.int32 or multiplier.shape != levels:
        got = (multiplier.dtype.name, multiplier.shape)
        yield f"residual multiplier is int32 of shape {levels}", got
    elif int(np.abs(multiplier.astype(np.int64)).max()) >= MAX_RESIDUAL_MULTIPLIER:
        yield "residual multiplier is below 2**22", int(multiplier.max())


def _lower_patches(op: Conv2D, graph: Graph, shape: WindowShape, options: Options) -> Draft:
    """Lower an ungrouped convolution to the nested or dense kernel on the patch buffer."""
    levels = len(graph.levels)

    def densest_cycles(storage: Storage) -> int:
        return _patch_cycles(op, storage, shape, levels - 1)

    storage = choose_storage(op, levels, options, densest_cycles)
    costs = tuple(
        LevelCost(
            macs=kept_macs(op, shape.out_h * shape.out_w, level),
            cycles=_patch_cycles(op, storage, shape, level),
            weight_bytes=storage.level_bytes[level] + table_bytes(op, level, levels),
        )
        for level in range(levels)
    )
    return Draft(
        kernel="nested_conv" if storage.nested else "dense_conv",
        reason=storage.reason,
        fields=storage_fields(op, levels, storage) + table_fields(op, levels),
        levels=costs,
        scratch_bytes=patch_buffer_bytes(shape, storage.channels)
        + (CHANNEL_BYTES * shape.out_c if storage.nested else 0),
        decoded_bytes=storage.area_bytes,
        storage=storage.name,
        shape=shape,
        requant=requant_constants(op, graph),
        group=op.group_size if storage.nested else 1,
        tile=_tile(op, storage, shape),
        overlaps=(patch_overlap(shape), residual_overlap(shape)),
    )


def _tile(op: Conv2D, storage: Storage, shape: WindowShape) -> int:
    """Return the output columns computed at once."""
    per_channel = storage.units[-1] / shape.out_c
    tiles = storage.tiles(op.group_size)
    return cost.best_tile(tiles, per_channel, shape.out_w, storage.nested)


def _patch_cycles(op: Conv2D, storage: Storage, shape: WindowShape, level: int) -> int:
    per_channel = storage.units[level] / shape.out_c
    costs = storage.tiles(op.group_size)
    row = cost.row_tiles(_tile(op, storage, shape), shape.out_w, storage.nested)
    channel = sum(cost.channel_instructions(costs[each], per_channel) for each in row)
    if storage.nested:
        channel += cost.SEGMENT * level * len(row)
    if op.residual is not None:
        channel += cost.RESIDUAL_OUTPUT * sum(row)
    padded_w = (shape.out_w - 1) * shape.stride_w + shape.kernel_w
    rows = (shape.out_h - 1) * shape.stride_h + shape.kernel_h
    expanded = rows * padded_w * storage.channels * cost.EXPAND_ELEMENT
    decoding = storage.decode_instructions[level]
    return cost.cycles(shape.out_h * shape.out_c * channel + expanded + decoding)


def _lower_plain(op: Conv2D, graph: Graph, shape: WindowShape) -> Draft:
    """Lower a grouped convolution: depthwise where it is one filter per channel.

    Weights of channels that no level has lie in flash as zeros, but are not read.
    """
    levels = len(graph.levels)
    depthwise = op.groups == shape.in_c == shape.out_c and op.residual is None
    kernel: Kernel = "depthwise_conv" if depthwise else "grouped_conv"
    if depthwise:
        weights = np.ascontiguousarray(op.weight[..., 0])
        reason = "one filter per channel"
        band = depthwise_band(shape)
        overlaps: tuple[Overlap, ...] = (depthwise_overlap(shape, band),)
    else:
        weights, band = op.weight, 1
        overlaps = (window_overlap(shape, by_channel=False), ELEMENTWISE)
        reason = f"{op.groups} groups of {shape.in_c // op.groups} input channels"
    align = 4 if weights.size % 4 == 0 else 1
    channels = channel_fields(op)
    map_bytes = sum(field.array.nbytes for field in channels)
    costs = tuple(
        LevelCost(
            macs=kept_macs(op, shape.out_h * shape.out_w, level),
            cycles=cost.cycles(
                _depthwise_instructions(op, shape, band, level)
                if depthwise
                else _grouped_instructions(op, shape)
            ),
            weight_bytes=kept_macs(op, 1, level) + map_bytes + table_bytes(op, level, levels),
        )
        for level in range(levels)
    )
    return Draft(
        kernel=kernel,
        reason=reason,
        fields=(FieldSpec("weights", weights, align), *table_fields(op, levels), *channels),
        levels=costs,
        scratch_bytes=depthwise_scratch_bytes(shape, band) if depthwise else 0,
        storage="plain",
        shape=shape,
        requant=requant_constants(op, graph),
        groups=op.groups,
        tile=band,
        overlaps=overlaps,
    )


def _grouped_instructions(op: Conv2D, shape: WindowShape) -> float:
    """Return what a grouped convolution executes."""
    per_position = op.weight.size * cost.GROUPED_MAC + shape.out_c * cost.GROUPED_OUTPUT
    return shape.out_h * shape.out_w * per_position


def _depthwise_instructions(op: Conv2D, shape: WindowShape, band: int, level: int) -> float:
    """Return what a depthwise convolution executes at ``level``.

    The input of a quad of channels is expanded if any is alive; its outputs are filled if any is
    not.
    """
    positions = shape.out_h * shape.out_w
    alive = np.ones(shape.out_c, np.bool_)
    if op.group_level is not None:
        alive = op.group_level.reshape(-1) <= level
    quads = [alive[at : at + DEPTHWISE_PLANES] for at in range(0, shape.out_c, DEPTHWISE_PLANES)]
    expanded = sum(len(quad) for quad in quads if quad.any())
    filled = sum(len(quad) for quad in quads if not quad.all())
    bands = -(-shape.out_h // band)
    rows = shape.in_h + (bands - 1) * max(shape.kernel_h - shape.stride_h, 0)
    instructions = kept_macs(op, positions, level) * cost.DEPTHWISE_MAC
    instructions += int(alive.sum()) * (
        positions * cost.DEPTHWISE_OUTPUT + bands * cost.DEPTHWISE_CHANNEL
    )
    instructions += expanded * rows * shape.in_w * cost.DEPTHWISE_ELEMENT
    return instructions + filled * positions * cost.DEPTHWISE_FILL


def _lower_cmsis(op: Conv2D, graph: Graph, shape: WindowShape) -> Draft:
    """Lower a dense or depthwise convolution to a CMSIS-NN call with plain OHWI weights."""
    levels = len(graph.levels)
    depthwise = op.groups > 1
    kernel: Kernel = "cmsis_depthwise_conv" if depthwise else "cmsis_conv"
    weights = level_weight(op, levels - 1)
    if depthwise:
        weights = np.ascontiguousarray(weights[..., 0].transpose(1, 2, 0))
    macs = kept_macs(op, shape.out_h * shape.out_w, levels - 1)
    outputs = shape.out_h * shape.out_w * shape.out_c
    instructions = cost.cmsis_instructions(macs, outputs, shape.out_c)
    if depthwise:
        instructions = macs * cost.CMSIS_DEPTHWISE_MAC
    cost_of_level = LevelCost(
        macs, cost.cycles(instructions), weights.size + table_bytes(op, 0, levels)
    )
    align = 4 if weights.size % 4 == 0 else 1
    return Draft(
        kernel=kernel,
        reason="dense at every level, handed to CMSIS-NN",
        fields=(FieldSpec("weights", weights, align), *table_fields(op, levels)),
        levels=(cost_of_level,) * levels,
        scratch_bytes=cmsis_scratch_bytes(shape, depthwise),
        storage="plain",
        shape=shape,
        cmsis=cmsis_constants(op, graph),
        groups=op.groups,
    )


register(Conv2D, Conv2DRule())
