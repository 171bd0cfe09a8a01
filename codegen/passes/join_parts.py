"""Let convolutions read maps that are only rearranged or concatenated, without making those."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from codegen.graph.ir import Graph, Op, Requant, Shape
from codegen.graph.joined import JoinedConv, Part, Steps
from codegen.graph.ops.concat import Concat
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.rearrange import Loop, Rearrange, canonical
from codegen.passes.rewrite import with_ops

MAX_PARTS = 8
"""Of a map; each is a few hundred bytes of code."""


def joined(graph: Graph, names: Collection[str]) -> Graph:
    """Return ``graph`` with the convolutions called ``names`` reading the parts of their maps.

    Args:
        graph: the graph.
        names: some of :func:`joinable`.
    """
    made_by = {op.output: op for op in graph.ops}
    readers = _readers(graph)
    ops: list[Op] = []
    for op in graph.ops:
        if op.name in names:
            assert isinstance(op, Conv2D)
            parts = tuple(_parts(op.input, graph, made_by, readers))
            op = JoinedConv(op.name, parts, graph.value(op.input), op)
        ops.append(op)
    return with_ops(graph, ops, graph.values)


def joinable(graph: Graph) -> tuple[str, ...]:
    """Return the names of the convolutions whose maps need not be made.

    Such a map is a concatenation along the channels, or a rearrangement that keeps the channels of
    a pixel side by side, or several of them, and nothing else reads it. The convolution is
    ungrouped and under the nestnet rule: it copies its map to a patch buffer row by row.
    """
    made_by = {op.output: op for op in graph.ops}
    readers = _readers(graph)
    found = []
    for op in graph.ops:
        if not isinstance(op, Conv2D) or op.groups != 1 or not isinstance(op.requant, Requant):
            continue
        parts = tuple(_parts(op.input, graph, made_by, readers))
        if [part.source for part in parts] != [op.input] and len(parts) <= MAX_PARTS:
            found.append(op.name)
    return tuple(found)


def _readers(graph: Graph) -> Counter[str]:
    """Return how often each value is read, by the graph's user too."""
    return Counter([*graph.outputs, *(name for op in graph.ops for name in op.inputs)])


def _parts(
    name: str, graph: Graph, made_by: dict[str, Op], readers: Counter[str]
) -> Iterator[Part]:
    """Yield what the value called ``name`` is joined of; if nothing better, of itself."""
    op, shape = made_by.get(name), graph.value(name).shape
    if readers[name] == 1:
        if isinstance(op, Concat) and op.axis == 2:
            for source in op.inputs:
                yield from _parts(source, graph, made_by, readers)
            return
        part = _rearranged(op, shape) if isinstance(op, Rearrange) else None
        if part is not None:
            yield part
            return
    _, width, channels = shape
    yield Part(name, 0, Steps(1, width * channels, 0), Steps(1, channels, 0), channels)


def _rearranged(op: Rearrange, shape: Shape) -> Part | None:
    """Return the part that ``op`` makes; None if its pixels are not runs of its input."""
    rest, steps = list(op.loops), []
    for extent in reversed(shape):
        group = _innermost(rest, extent)
        if group is None or len(group) > 2:
            return None
        steps.append(group)
    pixel, columns, rows = steps
    if pixel not in ((), ((shape[2], 1),)):
        return None
    return Part(op.input, op.offset, _steps(rows), _steps(columns), shape[2])


def _innermost(loops: list[Loop], extent: int) -> tuple[Loop, ...] | None:
    """Take loops of ``extent`` rounds in all off the end of ``loops``, or return None."""
    taken: list[Loop] = []
    while extent > 1:
        rounds, stride = loops.pop()
        if rounds > extent and rounds % extent == 0:
            loops.append((rounds // extent, stride * extent))
            rounds = extent
        if extent % rounds:
            return None
        taken.insert(0, (rounds, stride))
        extent //= rounds
    return canonical(taken)


def _steps(loops: tuple[Loop, ...]) -> Steps:
    if len(loops) == 2:
        (_, outer), (repeat, inner) = loops
        return Steps(repeat, outer, inner)
    return Steps(1, loops[0][1] if loops else 0, 0)
