"""Remove reshapes that nobody needs."""

from __future__ import annotations

from codegen.graph.ir import Graph, Op
from codegen.graph.ops.linear import Linear
from codegen.graph.ops.reshape import Reshape
from codegen.passes.rewrite import with_ops


def fold_reshape(graph: Graph) -> Graph:
    """Return ``graph`` with fewer reshapes.

    A linear layer reads its input flat in h, w, c order, so it takes the reshape's input instead.
    A reshape of a reshape reads the first one's input, and one to the same shape disappears. What
    remains moves no data either: memory planning gives both values one buffer.
    """
    source: dict[str, str] = {}
    """Output of each reshape to the value it views, followed through chains."""
    same: dict[str, str] = {}
    """Output of a reshape that changes nothing to the value it equals."""
    by_shape: dict[tuple[str, tuple[int, int, int]], str] = {}
    """A view of a value in a shape, if one exists already."""
    ops: list[Op] = []
    for op in graph.ops:
        op = op.reading(same)
        if isinstance(op, Reshape):
            origin = source.get(op.input, op.input)
            shape = graph.value(op.output).shape
            view = origin if graph.value(origin).shape == shape else by_shape.get((origin, shape))
            if view is not None and op.output not in graph.outputs:
                same[op.output] = view
                continue
            source[op.output] = origin
            by_shape[origin, shape] = op.output
            op = op.reading({op.input: origin})
        elif isinstance(op, Linear):
            op = op.reading(source)
        ops.append(op)
    return with_ops(graph, ops, graph.values)
