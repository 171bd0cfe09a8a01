"""Fully connected layer with dense weight rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from codegen.formats import dense
from codegen.graph.ir import Graph, Op
from codegen.graph.ops.linear import Linear
from codegen.kernels.common import cost
from codegen.kernels.common.kernel import Kernel
from codegen.kernels.common.rows import linear_cycles, linear_draft, linear_shape, takes_rows
from codegen.kernels.common.shape import WindowArgs
from codegen.kernels.common.storage import storage_candidate, storages
from codegen.kernels.common.tables import RequantConstants, requant_constants
from codegen.program.draft import Candidate
from codegen.target.target import Target


@dataclass(frozen=True)
class DenseLinearArgs(WindowArgs):
    """Literal arguments of ``nn_dense_linear``."""

    requant: RequantConstants


class DenseLinearKernel(Kernel):
    """Four output channels share each input."""

    name = "dense_linear"

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take linear layers whose levels share one weight set."""
        if not (isinstance(op, Linear) and takes_rows(op)):
            return
        args = DenseLinearArgs(linear_shape(op), requant_constants(op, graph))
        levels, tile = len(graph.levels), cost.DENSE_LINEAR
        for storage in storages(op, levels, dense.FORMAT, target):
            cycles = linear_cycles(op, storage, tile, levels - 1)
            draft = partial(linear_draft, op, graph, storage, tile, args)
            yield storage_candidate(self.name, op, storage, cycles, draft)


KERNELS = (DenseLinearKernel(),)
