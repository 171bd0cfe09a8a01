"""Another shape for the same elements: flatten, view, reshape, squeeze."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import fx

from codegen.graph.ops import reshape as graph_reshape
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.stages import GridRule, Network, OneInput, Run, Step
from nestnet.net.tensors import Shape, Tensor
from nestnet.net.walk import Aten, Unsupported, Walk, one_order, shape_of

SPELLED = "flatten/reshape"


@dataclass(frozen=True)
class Reshape(OneInput):
    """Relabel the axes of what lies in h, w, c order."""

    makes = (graph_reshape.Reshape,)
    grid = GridRule.INPUT
    elementwise = False

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Relabel."""
        return reshape(x[0], at.tensor(self.output))

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


def reshape(x: torch.Tensor, target: Tensor) -> torch.Tensor:
    """Relabel in h, w, c order: what the firmware's buffers have, and free in channels_last."""
    if x.dim() > 2:
        x = x.movedim(1, -1)
    h, w, c = target.shape
    rank = len(target.torch_shape)
    if rank == 1:
        return x.reshape(x.shape[0], c)
    x = x.reshape(x.shape[0], h, w, c) if rank == 3 else x.reshape(x.shape[0], w, c)
    return x.movedim(-1, 1)


def _reshape(walk: Walk, node: fx.Node) -> None:
    """Read any change of shape that keeps channels apart or flattens a map to a vector."""
    source = walk.activation(node)
    old, new = source.torch_shape, shape_of(node)
    if old == new:
        walk.alias(node, node.args[0])
        return
    flat_from: Shape | None = None
    if len(old) > 1 and len(new) == 1:
        h, w, c = source.shape
        flat_from = (h, w, c) if h * w > 1 and c > 1 else None
    elif source.flat_from is not None or not (old[0] == new[0] or one_order(old, new)):
        h, w, c = source.flat_from or (0, 0, 0)
        if new not in ((c, h, w), (c, h * w)):
            raise Unsupported(
                "reshape that mixes channels and positions",
                f"{old} -> {new}",
                "flattening to a vector, or a shape that keeps the channels",
            )
    walk.emit(
        node,
        source,
        lambda name, output: Reshape(name, source.name, output),
        flat_from=flat_from,
        is_view=True,
    )


ATEN = dict.fromkeys(
    ("flatten", "unflatten", "reshape", "view", "squeeze", "unsqueeze"),
    Aten(_reshape, is_view=True),
)
