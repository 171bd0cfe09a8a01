"""Convolution with dense weight rows on the sliding patch buffer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from codegen.formats import dense
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

TILES = cost.by_number("dense_conv", "tiles", cost.tile_cost)
"""By output columns P; the unit is four consecutive weights. Two rows at once, four with P = 1."""

LEFT_OVER = cost.record("dense_conv", "left_over", cost.TileCost)
"""More of an output channel and tile without the one or three neighbours that share loads."""

PIXEL = cost.number("dense_conv", "pixel")
"""More of an output channel where one column is computed at a time."""


@dataclass(frozen=True)
class DenseConvArgs(PatchArgs):
    """Literal arguments of ``nn_dense_conv``."""

    requant: RequantConstants
    tile: int
    """P, output columns computed at once, at most out_w."""


class DenseConvKernel(Kernel):
    """Every weight of a row, P output columns and two rows at once."""

    name = "dense_conv"
    args = DenseConvArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take ungrouped convolutions whose levels share one weight set."""
        conv = patched(op, graph)
        if conv is None:
            return
        for storage in storages(conv.op, len(graph.levels), dense.FORMAT, target):
            draft = partial(_draft, conv, storage)
            yield patch_candidate(self.name, conv, storage, RULES, draft)


def _draft(conv: Patched, storage: Storage) -> Draft:
    requant = requant_constants(conv.op, conv.graph)
    tile = best_tile(storage, conv.shape, RULES)
    args = DenseConvArgs(conv.shape, conv.parts, requant, tile)
    return patch_draft(conv, storage, RULES, args)


def row_tiles(tile: int, out_w: int) -> tuple[int, ...]:
    """Return the tiles of one output row, from left to right.

    Where P does not divide the width, the row ends with a 2, or two of them rather than a 1.
    """
    whole, rest = divmod(out_w, tile)
    if rest == 1 and tile == 3:
        whole, rest = whole - 1, 4
    ends = {0: (), 4: (2, 2)}.get(rest, (rest,))
    return (*(tile,) * whole, *ends)


def _more(shape: WindowShape, tile: int) -> float:
    """Return what rows without the one or three neighbours that share loads take."""
    units = -(-shape.kernel_h * shape.kernel_w * shape.in_c // 4)
    left = shape.out_c % (2 if tile > 1 else 4)
    instructions = left * len(row_tiles(tile, shape.out_w)) * LEFT_OVER.instructions(units)
    return instructions + (shape.out_w * shape.out_c * PIXEL if tile == 1 else 0.0)


RULES = PatchRules(TILES, row_tiles, 0.0, _more)

KERNELS = (DenseConvKernel(),)
