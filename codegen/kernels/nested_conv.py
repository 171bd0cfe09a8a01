"""Convolution with nested streams of groups on the sliding patch buffer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from codegen.formats import nested
from codegen.graph.ir import Graph, Op
from codegen.kernels.common import cost
from codegen.kernels.common.kernel import Kernel
from codegen.kernels.common.parts import PatchArgs
from codegen.kernels.common.patches import (
    Patched,
    PatchRules,
    best_tile,
    patch_candidate,
    patch_draft,
    patched,
)
from codegen.kernels.common.shape import WindowShape
from codegen.kernels.common.storage import Storage, storages
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
class NestedConvArgs(PatchArgs):
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
        conv = patched(op, graph)
        if conv is None:
            return
        for storage in storages(conv.op, len(graph.levels), nested.FORMAT, target):
            draft = partial(_draft, conv, storage)
            yield patch_candidate(self.name, conv, storage, RULES[conv.op.group_size], draft)


def _draft(conv: Patched, storage: Storage) -> Draft:
    op, shape = conv.op, conv.shape
    rules = RULES[op.group_size]
    tile = best_tile(storage, shape, rules)
    requant = requant_constants(op, conv.graph)
    args = NestedConvArgs(shape, conv.parts, requant, op.group_size, tile)
    return patch_draft(conv, storage, rules, args, CHANNEL_BYTES * shape.out_c)


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
