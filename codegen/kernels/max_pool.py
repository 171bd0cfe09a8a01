"""Max pooling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from codegen.graph.ir import Graph, Op
from codegen.graph.ops.max_pool import MaxPool
from codegen.kernels.common import cost
from codegen.kernels.common.kernel import Kernel
from codegen.kernels.common.pools import PoolCost, pool_draft, pool_shape
from codegen.kernels.common.shape import WindowArgs
from codegen.program.draft import Candidate
from codegen.target.target import Target

QUAD = cost.record("max_pool", "quad", PoolCost)
"""Of four channels at once, each."""


@dataclass(frozen=True)
class MaxPoolArgs(WindowArgs):
    """Literal arguments of ``nn_max_pool``."""

    needs_state = False


class MaxPoolKernel(Kernel):
    """The window where it lies, channel by channel."""

    name = "max_pool"
    args = MaxPoolArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take every max pool that is not CMSIS-NN's, which gives the same bits."""
        if isinstance(op, MaxPool) and (target.kernels == "nestnet" or 0 in op.stride):
            args = MaxPoolArgs(pool_shape(op, graph))
            yield Candidate(
                self.name,
                lambda: pool_draft(op, graph, args, QUAD),
                "the only kernel for this operator",
            )


KERNELS = (MaxPoolKernel(),)
