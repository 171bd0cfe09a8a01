"""Dropout, which a device knows nothing of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import fx

from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.stages import GridRule, Network, OneInput, Run, Step
from nestnet.net.tensors import as_map
from nestnet.net.walk import Aten, Unsupported, Walk

SPELLED = "dropout"


@dataclass(frozen=True)
class Dropout(OneInput):
    """Dropout of single elements or (``channels``) of whole channels; training only."""

    p: float
    channels: bool

    makes = ()
    grid = GridRule.INPUT
    elementwise = True

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Drop elements in training mode."""
        dropout = F.dropout2d if self.channels else F.dropout
        return dropout(as_map(x[0]), self.p, at.net.training).reshape(x[0].shape)

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return what holds for the input."""
        return all(inputs)

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add nothing."""
        graph.share_input(self)

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return 0: nothing is left of it."""
        return 0


def _dropout(walk: Walk, node: fx.Node) -> None:
    tensor = walk.activation(node, channel_axis=None)
    probability = float(node.args[1])  # type: ignore[arg-type]
    on = bool(node.args[2])
    if walk.evaluation and on:
        raise Unsupported(
            "dropout that stays on in evaluation mode",
            "training=True",
            "training=self.training",
            "Pass training=self.training, or use nn.Dropout",
        )
    if not on and node not in walk.training_dropouts:  # F.dropout(x, p, training=False)
        walk.alias(node, node.args[0])
        return
    channels = "feature" in str(node.target)
    walk.emit(
        node, tensor, lambda name, output: Dropout(name, tensor.name, output, probability, channels)
    )


ATEN = dict.fromkeys(
    ("dropout", "feature_dropout"), Aten(_dropout, mode_argument=2, is_dropout=True)
)
