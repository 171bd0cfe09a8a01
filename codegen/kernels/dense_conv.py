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
    best_tile,
    conv_shape,
    patch_cycles,
    patch_draft,
    takes_patches,
)
from codegen.kernels.common.shape import WindowArgs
from codegen.kernels.common.storage import Storage, storage_candidate, storages
from codegen.kernels.common.tables import RequantConstants, requant_constants
from codegen.program.draft import Candidate, Draft
from codegen.target.target import Target


@dataclass(frozen=True)
class DenseConvArgs(WindowArgs):
    """Literal arguments of ``nn_dense_conv``."""

    requant: RequantConstants
    tile: int
    """P, output columns computed at once, at most out_w."""


class DenseConvKernel(Kernel):
    """Every weight of a row, P output columns and two rows at once."""

    name = "dense_conv"

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take ungrouped convolutions whose levels share one weight set."""
        if not (isinstance(op, Conv2D) and takes_patches(op)):
            return
        levels, shape = len(graph.levels), conv_shape(op, graph)
        for storage in storages(op, levels, dense.FORMAT, target):
            cycles = patch_cycles(op, storage, shape, cost.DENSE, levels - 1)
            draft = partial(_draft, op, graph, storage)
            yield storage_candidate(self.name, op, storage, cycles, draft)


def _draft(op: Conv2D, graph: Graph, storage: Storage) -> Draft:
    shape = conv_shape(op, graph)
    args = DenseConvArgs(shape, requant_constants(op, graph), best_tile(storage, shape, cost.DENSE))
    return patch_draft(op, graph, storage, cost.DENSE, args)


KERNELS = (DenseConvKernel(),)
