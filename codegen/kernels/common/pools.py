"""What the pooling kernels share."""

from __future__ import annotations

from math import prod

from codegen.graph.ir import Graph
from codegen.graph.pools import Pool
from codegen.kernels.common import cost
from codegen.kernels.common.in_place import window_overlap
from codegen.kernels.common.shape import WindowShape, window_shape
from codegen.program.call import Args, LevelCost
from codegen.program.draft import Draft


def pool_shape(op: Pool, graph: Graph) -> WindowShape:
    """Return the extents that a pooling kernel is called with."""
    return window_shape(op, graph.value(op.input).shape, graph.value(op.output).shape)


def pool_draft(
    op: Pool, graph: Graph, args: Args, per_element: float, *, in_place: bool = True
) -> Draft:
    """Return the call of a pooling kernel.

    Args:
        op: the pooling.
        graph: what it is part of.
        args: the kernel's arguments.
        per_element: instructions per window element.
        in_place: whether the output may lie over the input as far as the windows allow.
    """
    outputs = prod(graph.value(op.output).shape)
    cycles = cost.cycles(outputs * prod(op.kernel) * per_element)
    overlap = window_overlap(pool_shape(op, graph), by_channel=True)
    return Draft(
        args=args,
        contents=(),
        levels=(LevelCost(0, cycles, 0),) * len(graph.levels),
        overlaps=(overlap,) if in_place else (),
    )
