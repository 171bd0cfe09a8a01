"""What the convolutions on the sliding patch buffer share (docs/adr/0002)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod

from codegen.graph.ir import Graph, Op, Requant
from codegen.graph.joined import JoinedConv
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.weighted import kept_macs
from codegen.kernels.common import cost
from codegen.kernels.common.in_place import patch_overlap, residual_overlap
from codegen.kernels.common.parts import PartArgs, part_args, part_overlap
from codegen.kernels.common.shape import WindowShape, window_shape
from codegen.kernels.common.storage import Storage, storage_candidate, storage_contents
from codegen.kernels.common.tables import table_bytes, table_contents
from codegen.program.call import Args, LevelCost
from codegen.program.draft import Candidate, Draft, round_up

OVER_READ = 4
"""Elements kernels may read past the patch buffer's last one."""


PART_PIXEL = cost.number("common", "part_pixel")
"""Instructions per pixel of a part of a joined map, more than those of its elements."""


@dataclass(frozen=True, eq=False)
class Patched:
    """A convolution that the patch buffer serves."""

    op: Conv2D
    graph: Graph
    """With the map that it reads, which need not lie anywhere."""
    parts: tuple[PartArgs, ...] = ()
    """What the map is joined of as it is read; empty: it lies somewhere."""

    @property
    def shape(self) -> WindowShape:
        """Return the extents that the kernel is called with."""
        return conv_shape(self.op, self.graph)


def patched(op: Op, graph: Graph) -> Patched | None:
    """Return ``op`` as a convolution that the patch buffer serves; None if it is none."""
    found = None
    if isinstance(op, JoinedConv):
        found = Patched(op.body, op.around_body(graph), part_args(op, graph))
    elif isinstance(op, Conv2D):
        found = Patched(op, graph)
    if found is None or found.op.groups != 1 or not isinstance(found.op.requant, Requant):
        return None
    return found


def conv_shape(op: Conv2D, graph: Graph) -> WindowShape:
    """Return the extents that a convolution kernel is called with."""
    return window_shape(op, graph.value(op.input).shape, graph.value(op.output).shape)


def patch_buffer_bytes(shape: WindowShape, channels: int) -> int:
    """Return the bytes of a convolution's sliding patch buffer (docs/adr/0002).

    Args:
        shape: the layer's extents.
        channels: input channels with padding.
    """
    padded_w = (shape.out_w - 1) * shape.stride_w + shape.kernel_w
    elements = padded_w * shape.kernel_h * channels + OVER_READ
    if shape.stride_h < shape.kernel_h:
        elements += (shape.out_h - 1) * shape.stride_h * channels
    return round_up(2 * elements, 8)


@dataclass(frozen=True)
class PatchRules:
    """What a kernel on the patch buffer does in its own way."""

    tiles: Mapping[int, cost.TileCost]
    """By output columns P."""
    row: cost.Row
    segment: float
    """Instructions per level above the first and tile: entering another segment."""
    more: Callable[[WindowShape, int], float]
    """Instructions of an output row, given P, that a bound needs and all storages share."""


def best_tile(storage: Storage, shape: WindowShape, rules: PatchRules) -> int:
    """Return the output columns computed at once."""
    per_channel = storage.units[-1] / shape.out_c
    return cost.best_tile(rules.tiles, per_channel, shape.out_w, rules.row)


def patch_candidate(
    kernel: str, conv: Patched, storage: Storage, rules: PatchRules, draft: Callable[[], Draft]
) -> Candidate:
    """Return ``kernel`` on ``storage``."""
    densest = len(conv.graph.levels) - 1
    cycles = patch_cycles(conv, storage, rules, densest)
    found = storage_candidate(kernel, conv.op, storage, cycles, draft)
    if not conv.parts:
        return found
    size = prod(conv.graph.value(conv.op.input).shape)
    return replace(found, why=f"its map of {size} bytes is joined as it is read, {found.why}")


def patch_cycles(conv: Patched, storage: Storage, rules: PatchRules, level: int) -> int:
    """Return the modelled cycles of ``level``."""
    shape = conv.shape
    per_channel = storage.units[level] / shape.out_c
    row = rules.row(best_tile(storage, shape, rules), shape.out_w)
    channel = sum(rules.tiles[each].instructions(per_channel) for each in row)
    channel += rules.segment * level * len(row)
    if conv.op.residual is not None:
        channel += cost.RESIDUAL_OUTPUT * sum(row)
    padded_w = (shape.out_w - 1) * shape.stride_w + shape.kernel_w
    rows = (shape.out_h - 1) * shape.stride_h + shape.kernel_h
    pixel = storage.channels * cost.EXPAND_ELEMENT + len(conv.parts) * PART_PIXEL
    decoding = storage.decode_instructions[level]
    expanded = rows * padded_w * pixel
    return cost.cycles(shape.out_h * shape.out_c * channel + expanded + decoding)


def patch_draft(
    conv: Patched, storage: Storage, rules: PatchRules, args: Args, extra_scratch_bytes: int = 0
) -> Draft:
    """Return the call of a convolution on the patch buffer.

    Args:
        conv: the convolution.
        storage: how its weights lie.
        rules: of the kernel.
        args: the kernel's arguments.
        extra_scratch_bytes: what the kernel keeps before its patch buffer.
    """
    op, levels, shape = conv.op, len(conv.graph.levels), conv.shape
    per_row = rules.more(shape, best_tile(storage, shape, rules))
    more = cost.cycles(shape.out_h * per_row + cost.LAYER_START)
    costs = tuple(
        LevelCost(
            macs=kept_macs(op, shape.out_h * shape.out_w, level),
            cycles=patch_cycles(conv, storage, rules, level) + more,
            weight_bytes=storage.level_bytes[level] + table_bytes(op, level, levels),
        )
        for level in range(levels)
    )
    read = [part_overlap(shape, item) for item in conv.parts] or [patch_overlap(shape)]
    return Draft(
        args=args,
        contents=storage_contents(storage) + table_contents(op, levels),
        levels=costs,
        scratch_bytes=patch_buffer_bytes(shape, storage.channels) + extra_scratch_bytes,
        decoded_bytes=storage.area_bytes,
        storage=storage.name,
        overlaps=(*read, residual_overlap(shape)),
    )
