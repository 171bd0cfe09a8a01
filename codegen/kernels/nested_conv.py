"""Convolution with nested streams of groups on the sliding patch buffer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from codegen.formats import nested
from codegen.graph.ir import Graph, Op
from codegen.graph.ops.conv2d import Conv2D
from codegen.kernels.common import cost
from codegen.kernels.common.kernel import Kernel
from codegen.kernels.common.patches import (
    PatchRules,
    best_tile,
    conv_shape,
    patch_cycles,
    patch_draft,
    takes_patches,
)
from codegen.kernels.common.shape import WindowArgs, WindowShape
from codegen.kernels.common.storage import Storage, storage_candidate, storages
from codegen.kernels.common.tables import RequantConstants, requant_constants
from codegen.program.draft import Candidate, Draft
from codegen.target.target import Target

CHANNEL_BYTES = 8
"""An ``nn_channel``: one per output channel is kept before the patch buffer."""

TILES = cost.by_number("nested_conv", "tiles", cost.tile_costs)
"""By group size, then output columns P; the unit is a group."""

SEGMENT = cost.number("nested_conv", "segment")
"""Per level above the first and tile: entering another segment."""

MORE = cost.by_number("nested_conv", "more", float)
"""More per output channel and tile, by group size."""


@dataclass(frozen=True)
class NestedConvArgs(WindowArgs):
    """Literal arguments of ``nn_nested_conv``."""

    requant: RequantConstants
    group: int
    """G."""
    tile: int
    """P, output columns computed at once, at most out_w."""


class NestedConvKernel(Kernel):
    """The groups that a level keeps, P output columns at once."""

    name = "nested_conv"
    args = NestedConvArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take ungrouped convolutions with levels."""
        if not (isinstance(op, Conv2D) and takes_patches(op)):
            return
        levels, shape = len(graph.levels), conv_shape(op, graph)
        for storage in storages(op, levels, nested.FORMAT, target):
            cycles = patch_cycles(op, storage, shape, RULES[op.group_size], levels - 1)
            draft = partial(_draft, op, graph, storage)
            yield storage_candidate(self.name, op, storage, cycles, draft)


def _draft(op: Conv2D, graph: Graph, storage: Storage) -> Draft:
    shape = conv_shape(op, graph)
    rules = RULES[op.group_size]
    tile = best_tile(storage, shape, rules)
    args = NestedConvArgs(shape, requant_constants(op, graph), op.group_size, tile)
    return patch_draft(op, graph, storage, rules, args, CHANNEL_BYTES * shape.out_c)


def row_tiles(tile: int, out_w: int) -> tuple[int, ...]:
    """Return the tiles of one output row, from left to right; the last may be narrower."""
    whole, rest = divmod(out_w, tile)
    return (*(tile,) * whole, *((rest,) if rest else ()))


def _more(group: int) -> Callable[[WindowShape, int], float]:
    def more(shape: WindowShape, tile: int) -> float:
        return shape.out_c * len(row_tiles(tile, shape.out_w)) * MORE[group]

    return more


RULES = {group: PatchRules(TILES[group], row_tiles, SEGMENT, _more(group)) for group in TILES}
"""By group size."""

KERNELS = (NestedConvKernel(),)
