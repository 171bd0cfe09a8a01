"""Export a trained nested network to the integer graph (docs/integer-contract.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
    meaning: ir.Meaning | None = None,
) -> ir.Graph:
    """Return the integer graph of ``net``, every level included.

    Args:
        net: a network whose activation ranges are known, after
            :func:`nestnet.net.quantize.quantize`.
        levels: one description per level, sparsest first.
        provenance: where the graph comes from.
        name: lower-case C identifier.
        meaning: of the output, as its task says; None where no task is known.

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
    given, computed = (graph.values[name] for name in (net.network.input, net.network.output))
    unique = {value.name: value for value in graph.values.values()}
    unique[given.name] = replace(given, meaning="pixels")
    unique[computed.name] = replace(
        computed, meaning=meaning or _untold(computed.shape, provenance)
    )
    return ir.Graph(
        name=name,
        inputs=(given.name,),
        outputs=(computed.name,),
        values=tuple(unique.values()),
        ops=tuple(graph.ops),
        levels=tuple(levels),
        provenance=provenance,
    )


def _check_edges(net: NestedNet) -> None:
    """Refuse inputs and outputs that are too large for the firmware's description of them."""
    edges = {"input": net.network.input, "output": net.network.output}
    for what, name in edges.items():
        shape = net.network.tensor(name).shape
        if max(shape) > ir.MAX_EXTENT:
            raise UserError(
                f"the model's {what}",
                "too large",
                got=" x ".join(map(str, shape)) + " in h, w, c",
                expected=f"at most {ir.MAX_EXTENT} of each",
                action="Use fewer classes" if what == "output" else "Scale the images down",
            )


def _untold(shape: ir.Shape, provenance: ir.Provenance) -> ir.Meaning:
    """Return what the output of no known task is: names of classes tell scores from numbers."""
    if shape[:2] != (1, 1):
        return "map"
    return "class_scores" if provenance.class_names else "plain"
