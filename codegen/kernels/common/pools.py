"""What the pooling kernels share."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from codegen.graph.ir import Graph
from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.pools import Pool
from codegen.kernels.common import cost
from codegen.kernels.common.in_place import window_overlap
from codegen.kernels.common.shape import WindowShape, window_shape
from codegen.program.call import Args, LevelCost
from codegen.program.draft import Draft


@dataclass(frozen=True)
class PoolCost:
    """Instructions of a pooling."""

    element: float
    """Per window element of a channel that is pooled with three others."""
    output: float


SINGLE = cost.record("pools", "single", PoolCost)
"""Of a channel by itself: those left of fours, and all of an average too large for 16 bits."""

AVG_POOL_QUAD_ELEMENTS = 255
"""Window elements whose sum fits 16 bits (the DSP body of ``nn_avg_pool``)."""


def pool_shape(op: Pool, graph: Graph) -> WindowShape:
    """Return the extents that a pooling kernel is called with."""
    return window_shape(op, graph.value(op.input).shape, graph.value(op.output).shape)


def pool_draft(
    op: Pool, graph: Graph, args: Args, in_fours: PoolCost, *, in_place: bool = True
) -> Draft:
    """Return the call of a pooling kernel.

    Args:
        op: the pooling.
        graph: what it is part of.
        args: the kernel's arguments.
        in_fours: what four channels at once cost each.
        in_place: whether the output may lie over the input as far as the windows allow.
    """
    height, width, channels = graph.value(op.output).shape
    elements = prod(op.kernel)
    single = channels % 4
    if isinstance(op, AvgPool) and elements > AVG_POOL_QUAD_ELEMENTS:
        single = channels
    per_position = sum(
        count * (elements * per.element + per.output)
        for count, per in ((channels - single, in_fours), (single, SINGLE))
    )
    cycles = cost.cycles(height * width * per_position + cost.LAYER_START)
    overlap = window_overlap(pool_shape(op, graph), by_channel=True)
    return Draft(
        args=args,
        contents=(),
        levels=(LevelCost(0, cycles, 0),) * len(graph.levels),
        overlaps=(overlap,) if in_place else (),
    )
