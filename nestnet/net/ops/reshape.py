"""Another shape for the same elements: flatten, view, reshape, squeeze."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import fx

from codegen.graph.ops import reshape as graph_reshape
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.stages import GridRule, Network, OneInput, Run, Step
from nestnet.net.tensors import View, batch_of, from_memory, to_memory
from nestnet.net.walk import Aten, Unsupported, Walk, sizes_of

SPELLED = "flatten/reshape"


@dataclass(frozen=True)
class Reshape(OneInput):
    """Relabel the axes of what lies in h, w, c order."""

    makes = (graph_reshape.Reshape,)
    grid = GridRule.INPUT
    elementwise = False

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Relabel."""
        return from_memory(to_memory(x[0], at.tensor(self.input)), at.tensor(self.output))

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return what holds for the input."""
        return all(inputs)

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add a reshape where the shape of the integer graph changes."""
        shape = graph.net.network.tensor(self.output).shape
        if shape == graph.values[self.input].shape:
            graph.share_input(self)
            return
        x, y = graph.values[self.input], graph.like_input(self)
        graph.ops.append(graph_reshape.Reshape(self.name, x.name, y.name))

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return 0: no data moves."""
        return 0


def _reshape(walk: Walk, node: fx.Node) -> None:
    """Read any change of shape."""
    walk.check_batch(node)
    sizes = sizes_of(node)
    _, view = walk.seen(node.args[0])
    if batch_of(node).axis or batch_of(node.all_input_nodes[0]).axis:
        raise Unsupported(
            "a reshape where the batch is not the first dimension",
            tuple(str(extent) for extent in node.meta["val"].shape),
            "batch first",
            "Bring the batch to the front before it",
        )
    seen = view.reshaped(sizes)
    if seen is not None:
        walk.see(node, node.args[0], seen)
        return
    in_a_row = view.reshaped((prod(sizes),))
    assert in_a_row is not None
    row = walk.lay(node.args[0], in_a_row)
    seen = View.whole(row).reshaped(sizes)
    assert seen is not None
    walk.see(node, node.args[0], seen, row)


ATEN = dict.fromkeys(
    (
        *("flatten", "unflatten", "reshape", "view", "squeeze", "unsqueeze"),
        *("reshape_as", "view_as"),
    ),
    Aten(_reshape, is_view=True),
)
