"""Export a trained nested network to the integer graph (docs/integer-contract.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from codegen.errors import UserError
from codegen.graph import ir
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.network import NestedNet


def export(
    net: NestedNet,
    levels: Sequence[ir.Level],
    provenance: ir.Provenance,
    name: str,
    meanings: Sequence[ir.Meaning] = (),
) -> ir.Graph:
    """Return the integer graph of ``net``, every level included.

    Args:
        net: a network whose activation ranges are known, after
            :func:`nestnet.net.quantize.quantize`.
        levels: one description per level, sparsest first.
        provenance: where the graph comes from.
        name: lower-case C identifier.
        meanings: of each output, as the task says; empty where no task is known.

    Raises:
        UserError: unknown activation ranges, a wrong number of levels, or numbers that the integer
            arithmetic cannot hold.
    """
    if len(levels) != net.n_levels:
        raise UserError(
            "export",
            "wrong number of levels",
            got=len(levels),
            expected=net.n_levels,
            action="Describe every level of the network",
        )
    _check_edges(net)
    graph = GraphBuilder(net)
    with torch.no_grad():
        for step in net.steps:
            step.stage.export(step, graph)
    given = [graph.values[name] for name in net.network.inputs]
    computed = [graph.values[name] for name in net.network.outputs]
    _check_different(net, computed)
    unique = {value.name: value for value in graph.values.values()}
    for value in given:
        unique[value.name] = replace(value, meaning=net.pixels.meaning, source=net.pixels.source)
    untold = [_untold(computed, value, provenance) for value in computed]
    for value, meaning in zip(computed, meanings or untold, strict=True):
        unique[value.name] = replace(value, meaning=meaning)
    made = ir.Graph(
        name=name,
        inputs=tuple(value.name for value in given),
        outputs=tuple(value.name for value in computed),
        values=tuple(unique.values()),
        ops=tuple(graph.ops),
        levels=tuple(levels),
        provenance=provenance,
    )
    return _renamed(made, dict(zip(made.outputs, net.network.output_names, strict=False)))


def _renamed(graph: ir.Graph, wanted: Mapping[str, str]) -> ir.Graph:
    """Return ``graph`` with values called as ``wanted`` where that is a name and still free."""
    taken = {value.name for value in graph.values}
    names: dict[str, str] = {}
    for old, new in wanted.items():
        if new and new not in taken:
            names[old] = new
            taken.add(new)
    return replace(
        graph,
        outputs=tuple(names.get(name, name) for name in graph.outputs),
        values=tuple(replace(v, name=names.get(v.name, v.name)) for v in graph.values),
        ops=tuple(_making(op.reading(names), names) for op in graph.ops),
    )


def _making(op: ir.Op, names: Mapping[str, str]) -> ir.Op:
    """Return ``op`` with its output called ``names[x]`` instead of x."""
    changed: Any = op  # every operator is a dataclass with an output
    made: ir.Op = replace(changed, output=names.get(op.output, op.output))
    return made


def _check_different(net: NestedNet, computed: Sequence[ir.Value]) -> None:
    """Refuse outputs that are one and the same on a device: one of them is the other relabelled.

    Raises:
        UserError: there are such.
    """
    names = [value.name for value in computed]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise UserError(
                f"the model's output {index}",
                "it holds the numbers of another output",
                got=f"those of output {names.index(name)}",
                expected="different outputs",
                action="Return it once",
            )


def _check_edges(net: NestedNet) -> None:
    """Refuse inputs and outputs that are too large for the firmware's description of them."""
    edges = [("input", name) for name in net.network.inputs]
    edges += [("output", name) for name in net.network.outputs]
    for what, name in edges:
        shape = net.network.tensor(name).shape
        if max(shape) > ir.MAX_EXTENT:
            raise UserError(
                f"the model's {what}",
                "too large",
                got=" x ".join(map(str, shape)) + " in h, w, c",
                expected=f"at most {ir.MAX_EXTENT} of each",
                action="Use fewer classes" if what == "output" else "Scale the images down",
            )


def _untold(computed: Sequence[ir.Value], value: ir.Value, provenance: ir.Provenance) -> ir.Meaning:
    """Return what an output of no known task is: names of classes tell scores from numbers."""
    if value.shape[:2] != (1, 1):
        return "map"
    return "class_scores" if provenance.class_names and len(computed) == 1 else "plain"
