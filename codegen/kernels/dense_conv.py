"""Convolution with dense weight rows on the sliding patch buffer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from codegen.formats import dense
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

TILES = cost.by_number("dense_conv", "tiles", cost.tile_cost)
"""By output columns P; the unit is four consecutive weights. Two rows at once, four with P = 1."""

LEFT_OVER = cost.record("dense_conv", "left_over", cost.TileCost)
"""More of an output channel and tile without the one or three neighbours that share loads."""

PIXEL = cost.number("dense_conv", "pixel")
"""More of an output channel where one column is computed at a time."""


@dataclass(frozen=True)
class DenseConvArgs(WindowArgs):
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
        if not (isinstance(op, Conv2D) and takes_patches(op)):
            return
        levels, shape = len(graph.levels), conv_shape(op, graph)
        for storage in storages(op, levels, dense.FORMAT, target):
            cycles = patch_cycles(op, storage, shape, RULES, levels - 1)
            draft = partial(_draft, op, graph, storage)
            yield storage_candidate(self.name, op, storage, cycles, draft)


def _draft(op: Conv2D, graph: Graph, storage: Storage) -> Draft:
    shape = conv_shape(op, graph)
    args = DenseConvArgs(shape, requant_constants(op, graph), best_tile(storage, shape, RULES))
    return patch_draft(op, graph, storage, RULES, args)


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
