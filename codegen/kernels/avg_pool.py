"""Average pooling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from codegen.graph.ir import Graph, Op
from codegen.graph.ops.avg_pool import AvgPool
from codegen.kernels.common import cost
from codegen.kernels.common.kernel import Kernel
from codegen.kernels.common.pools import PoolCost, pool_draft, pool_shape
from codegen.kernels.common.shape import Sides, WindowArgs
from codegen.program.draft import Candidate
from codegen.target.target import Target

QUAD = cost.record("avg_pool", "quad", PoolCost)
"""Of four channels at once, each."""


@dataclass(frozen=True)
class AvgPoolArgs(WindowArgs):
    """Literal arguments of ``nn_avg_pool``."""

    needs_state = False

    counted: Sides | None
    """Of the padding, what the mean counts; None for all of it."""
    zero_point: int
    """Of input and output."""


class AvgPoolKernel(Kernel):
    """The window where it lies, channel by channel."""

    name = "avg_pool"
    args = AvgPoolArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take every average pool."""
        if isinstance(op, AvgPool):
            whole = op.counted == op.padding and 0 not in op.stride
            counted = None if whole else Sides(*op.counted)
            zero_point = graph.value(op.output).zero_point
            args = AvgPoolArgs(pool_shape(op, graph), counted, zero_point)
            yield Candidate(
                self.name,
                lambda: pool_draft(op, graph, args, QUAD),
                "the only kernel for this operator",
            )


KERNELS = (AvgPoolKernel(),)
