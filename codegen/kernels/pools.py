"""What max and average pooling share."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from codegen.graph.ir import AvgPool, Graph, MaxPool, Shape
from codegen.kernels import cost
from codegen.kernels.in_place import window_overlap
from codegen.kernels.window import check_window, out_extent, window_shape
from codegen.program.lowering import Draft
from codegen.program.packed import Kernel, LevelCost


def pool_shape(op: MaxPool | AvgPool, shapes: tuple[Shape, ...]) -> Shape:
    """Return the pooled extent; channels pass through."""
    return (*out_extent(op, shapes[0]), shapes[0][2])


def check_pool(op: MaxPool | AvgPool, graph: Graph) -> Iterator[tuple[str, object]]:
    """Yield broken rules: a sound window; scale and zero point pass through."""
    yield from check_window(op)
    before, after = graph.value(op.input), graph.value(op.output)
    if (before.scale, before.zero_point) != (after.scale, after.zero_point):
        yield "scale and zero point pass through", (after.scale, after.zero_point)


def lower_pool(op: MaxPool | AvgPool, graph: Graph, kernel: Kernel, per_element: float) -> Draft:
    """Return the call of ``kernel``, at ``per_element`` instructions per window element."""
    before, after = graph.value(op.input).shape, graph.value(op.output).shape
    cycles = cost.cycles(prod(after) * prod(op.kernel) * per_element)
    shape = window_shape(op, before, after)
    ours = kernel != "cmsis_max_pool"
    return Draft(
        kernel=kernel,
        reason="the only kernel for this operator",
        fields=(),
        levels=(LevelCost(0, cycles, 0),) * len(graph.levels),
        shape=shape,
        overlaps=(window_overlap(shape, by_channel=True),) if ours else (),
    )
