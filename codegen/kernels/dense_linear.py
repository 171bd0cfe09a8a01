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
from codegen.kernels.common.rows import (
    RowRules,
    linear_cycles,
    linear_draft,
    linear_shape,
    takes_rows,
)
from codegen.kernels.common.shape import WindowArgs
from codegen.kernels.common.storage import storage_candidate, storages
from codegen.kernels.common.tables import RequantConstants, requant_constants
from codegen.kernels.dense_conv import LEFT_OVER
from codegen.program.draft import Candidate
from codegen.target.target import Target


@dataclass(frozen=True)
class DenseLinearArgs(WindowArgs):
    """Literal arguments of ``nn_dense_linear``."""

    requant: RequantConstants


class DenseLinearKernel(Kernel):
    """Four output channels share each input."""

    name = "dense_linear"
    args = DenseLinearArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take linear layers whose levels share one weight set."""
        if not (isinstance(op, Linear) and takes_rows(op)):
            return
        args = DenseLinearArgs(linear_shape(op), requant_constants(op, graph))
        levels = len(graph.levels)
        for storage in storages(op, levels, dense.FORMAT, target):
            cycles = linear_cycles(op, storage, RULES, levels - 1)
            draft = partial(linear_draft, op, graph, storage, RULES, args)
            yield storage_candidate(self.name, op, storage, cycles, draft)


def _more(out_c: int, in_c: int, level: int) -> float:
    return out_c % 4 * LEFT_OVER.instructions(-(-in_c // 4))


RULES = RowRules(cost.record("dense_linear", "row", cost.TileCost), 0.0, _more)

KERNELS = (DenseLinearKernel(),)
