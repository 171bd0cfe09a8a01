"""Helpers passes share: drop what nothing reads, find fresh names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from codegen.graph.ir import Graph, Op, Value


def with_ops(graph: Graph, ops: Sequence[Op], values: Sequence[Value]) -> Graph:
    """Return ``graph`` with ``ops``, without ops nothing reads, and only the values in use."""
    alive = set(graph.outputs)
    kept: list[Op] = []
    for op in reversed(ops):
        if op.output in alive:
            kept.append(op)
            alive.update(op.inputs)
    alive.update(graph.inputs)
    used = tuple(value for value in values if value.name in alive)
    return replace(graph, ops=tuple(reversed(kept)), values=used)


def fresh_name(taken: set[str], stem: str) -> str:
    """Return ``stem``, or ``stem_2``, ``stem_3`` ..., whichever is free, and take it."""
    name, count = stem, 1
    while name in taken:
        count += 1
        name = f"{stem}_{count}"
    taken.add(name)
    return name
