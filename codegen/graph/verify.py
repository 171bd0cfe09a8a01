"""Prove the structural rules of an integer graph, before and after every pass."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from math import isfinite, prod
from typing import get_args

import numpy as np

from codegen.errors import UserError
from codegen.graph.ir import (
    MAX_EDGES,
    MAX_EXTENT,
    MAX_LEVELS,
    Allowed,
    Broken,
    Finding,
    Graph,
    Level,
    Meaning,
    Op,
    Provenance,
    TaskRecord,
    Value,
)

MAX_ELEMENTS = 2**24
"""Of one value: more than any Cortex-M has RAM for, few enough to plan for in bounded time."""

SMALLEST_SCALE, LARGEST_SCALE = (
    float(edge) for edge in (np.finfo(np.float32).tiny, np.finfo(np.float32).max)
)
"""Scales are in single precision in the generated C."""

C_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")


class VerifyError(UserError):
    """Report a graph that breaks a rule, naming the pass after which it was found."""

    def __init__(self, graph: str, after: str, node: str, rule: str, value: object) -> None:
        """Compose the message; the parts stay readable as attributes."""
        self.pass_name = after
        self.node = node
        self.rule = rule
        self.value = value
        super().__init__(
            f"network {graph}, after {after}, {node}",
            "broken rule",
            got=value,
            expected=rule,
            action="Export the network again; if that does not help, report this message",
        )


def verify(graph: Graph, after: str = "export") -> Graph:
    """Return ``graph`` unchanged if every rule holds.

    Args:
        graph: the graph.
        after: name of the step that produced it, for the message.

    Raises:
        VerifyError: the first broken rule.
    """
    for check in (_check_levels, _check_values, _check_edges, _check_flow, _check_ops):
        for node, (rule, value) in check(graph):
            raise VerifyError(graph.name, after, node, rule, value)
    return graph


def _check_levels(graph: Graph) -> Iterator[Finding]:
    if not C_IDENTIFIER.fullmatch(graph.name):
        yield "graph", ("the name is a lower-case C identifier", graph.name)
    if not 1 <= len(graph.levels) <= MAX_LEVELS:
        yield "levels", (f"1..{MAX_LEVELS} levels", len(graph.levels))
        return
    yield from (("levels", broken) for level in graph.levels for broken in _level_rules(level))
    names = Counter(level.name for level in graph.levels)
    for name, count in names.items():
        if count > 1:
            yield "levels", ("level names are unique", name)
    yield from (("provenance", broken) for broken in _provenance_rules(graph.provenance))
    if graph.task is not None:
        yield from (("task", broken) for broken in _task_rules(graph.task))
    sparsities = [level.sparsity for level in graph.levels]
    if sparsities != sorted(sparsities, reverse=True):
        yield "levels", ("level 0 is the sparsest, the last level the densest", sparsities)


def _task_rules(task: TaskRecord) -> Iterator[Broken]:
    names = [task.name, *(setting.name for setting in task.settings)]
    for name in names:
        if not C_IDENTIFIER.fullmatch(name):
            yield "names of a task and its settings are lower-case C identifiers", name
    if len(set(names[1:])) < len(names) - 1:
        yield "names of settings are unique", names[1:]
    for setting in task.settings:
        if not all(map(isfinite, setting.values)):
            yield f"numbers of {setting.name} are finite", setting.values


def _provenance_rules(provenance: Provenance) -> Iterator[Broken]:
    budget, codecs = provenance.flash_budget_bytes, provenance.codecs
    if budget is not None and budget < 1:
        yield "the flash budget is at least 1 byte", budget
    if codecs is not None and codecs not in get_args(Allowed):
        yield f"codecs is one of {', '.join(get_args(Allowed))}", codecs


def _level_rules(level: Level) -> Iterator[Broken]:
    shares = {
        "sparsity": level.sparsity,
        "accuracy_float": level.accuracy_float,
        "accuracy_quantized": level.accuracy_quantized,
    }
    for name, share in shares.items():
        if share is not None and not 0 <= share <= 1:
            yield f"{name} is 0..1", share


def _check_values(graph: Graph) -> Iterator[Finding]:
    names = Counter(value.name for value in graph.values)
    for name, count in names.items():
        if count > 1:
            yield f"value {name}", ("value names are unique", count)
    for value in graph.values:
        for broken in _value_rules(value, len(graph.levels)):
            yield f"value {value.name}", broken


def _check_edges(graph: Graph) -> Iterator[Finding]:
    names = {value.name for value in graph.values}
    for what, edges in (("inputs", graph.inputs), ("outputs", graph.outputs)):
        if not 1 <= len(edges) <= MAX_EDGES:
            yield "graph", (f"there are 1..{MAX_EDGES} {what}", len(edges))
        for name, count in Counter(edges).items():
            if count > 1:
                yield "graph", (f"{what} are listed once", name)
            if name not in names:
                yield "graph", ("inputs and outputs are values", name)
                return
            edge = graph.value(name)
            if len(set(edge.scale)) > 1:
                rule = "inputs and outputs have one scale for all levels"
                yield f"value {name}", (rule, edge.scale)
            if max(edge.shape) > MAX_EXTENT:
                yield f"value {name}", (f"edge extents are at most {MAX_EXTENT}", edge.shape)
    inner = names - {*graph.inputs, *graph.outputs}
    for value in graph.values:
        if value.name in inner and value.meaning != "plain":
            yield f"value {value.name}", ("only inputs and outputs have a meaning", value.meaning)
        if value.source is not None:
            if value.name not in graph.inputs or value.meaning != "samples":
                yield f"value {value.name}", ("only inputs of samples have a source", value.meaning)
            for broken in value.source.broken(value.shape[2]):
                yield f"value {value.name}", broken


def _value_rules(value: Value, levels: int) -> Iterator[Broken]:
    if len(value.shape) != 3 or min(value.shape) < 1 or prod(value.shape) >= MAX_ELEMENTS:
        yield "shape is h, w, c, each at least 1, below 2**24 elements", value.shape
    if len(value.scale) != levels:
        yield f"one scale for each of {levels} levels", len(value.scale)
    if not all(SMALLEST_SCALE <= scale <= LARGEST_SCALE for scale in value.scale):
        yield "scales are finite and above 0 in single precision", value.scale
    if not -128 <= value.zero_point <= 127:
        yield "zero point is -128..127", value.zero_point
    if value.meaning not in get_args(Meaning):
        yield f"meaning is one of {', '.join(get_args(Meaning))}", value.meaning


def _check_flow(graph: Graph) -> Iterator[Finding]:
    """Check single assignment, definition before use, and that every value is computed and used."""
    names = {value.name for value in graph.values}
    defined = set(graph.inputs)
    used: set[str] = set(graph.outputs)
    given = set(graph.inputs)
    op_names = Counter(op.name for op in graph.ops)
    for index, op in enumerate(graph.ops):
        node = f"op {index} ({op.name})"
        if op_names[op.name] > 1:
            yield node, ("op names are unique", op.name)
        for name in op.inputs:
            if name not in names:
                yield node, ("inputs are values of the graph", name)
            elif name not in defined:
                yield node, ("inputs are defined before they are used", name)
        if op.output not in names:
            yield node, ("the output is a value of the graph", op.output)
        if op.output in defined:
            yield node, ("every value is written once", op.output)
        defined.add(op.output)
        used.update(op.inputs)
        if op.is_view and op.inputs[0] in given:
            given.add(op.output)
    for name in graph.outputs:
        if name in given:
            yield (
                f"value {name}",
                ("an operator computes each output: no input, no view of one", name),
            )
    for name in sorted(names - defined):
        yield f"value {name}", ("every value is written", name)
    for name in sorted(names - used):
        yield f"value {name}", ("every value but the outputs is used", name)


def _check_ops(graph: Graph) -> Iterator[Finding]:
    for index, op in enumerate(graph.ops):
        node = f"op {index} ({op.name})"
        broken = list(_op_rules(op, graph))
        yield from ((node, item) for item in broken)


def _op_rules(op: Op, graph: Graph) -> Iterator[Broken]:
    broken = list(op.check(graph))
    yield from broken
    if broken:
        return
    after = graph.value(op.output)
    for before in (graph.value(name) for name in op.inputs if op.keeps_grid):
        if (before.scale, before.zero_point) != (after.scale, after.zero_point):
            yield "scale and zero point pass through", (after.scale, after.zero_point)
            return
    shape = op.out_shape(graph.shapes(op.inputs))
    declared = after.shape
    if shape is not None and shape != declared:
        yield f"the output has the shape {shape}", declared
