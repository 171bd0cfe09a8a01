"""Fully connected layer on a vector."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import fx

from codegen.graph.ops import linear as graph_linear
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.nested import NestedWeight
from nestnet.net.ops.common.weighted import Weighted, stored
from nestnet.net.ops.conv2d import Conv2D
from nestnet.net.stages import Step
from nestnet.net.walk import Aten, Walk, argument

SPELLED = "linear"


@dataclass(frozen=True)
class Linear(Weighted):
    """Fully connected layer on a vector: ``out = act(norm(W input + bias))``."""

    makes = (graph_linear.Linear,)
    elementwise = False
    kept_dense = "last"

    @property
    def prunable(self) -> bool:
        """Return True: every output reads every input."""
        return True

    def nested(self, weight: torch.Tensor, bias: torch.Tensor | None) -> NestedWeight:
        """Return the layer."""
        return NestedLinear(weight, bias)

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add a linear layer."""
        assert step.layer is not None
        x, y = graph.values[self.input], graph.observed(self)
        act_min, act_max = self.act.in_steps(y.scale[-1], y.zero_point)
        weight, group_size, group_level = stored(step.layer)
        graph.ops.append(
            graph_linear.Linear(
                self.name,
                x.name,
                y.name,
                weight,
                group_size,
                group_level,
                self.epilogue(graph.net, step).requant,
                act_min,
                act_max,
            )
        )


class NestedLinear(NestedWeight):
    """Fully connected layer at one level; (n, i) -> (n, o).

    Inputs that were a map are in h, w, c order, so that a group lies within one position.
    """

    def forward(self, x: torch.Tensor, level: int, with_bias: bool = True) -> torch.Tensor:
        """Multiply; without bias the result is what the accumulators hold."""
        return F.linear(x, self.effective_weight(level), self.bias if with_bias else None)


def _linear(walk: Walk, node: fx.Node) -> None:
    tensor = walk.activation(node, channel_axis=-1)
    weight = walk.parameter(node.args[1], "weight")
    bias = walk.parameter(argument(node, 2, "bias", None), "bias")
    assert weight is not None
    if len(tensor.torch_shape) > 1:
        walk.emit(
            node,
            tensor,
            lambda name, output: Conv2D.pointwise(name, tensor.name, output, weight, bias),
            weight.removesuffix(".weight"),
            channel_axis=tensor.channel_axis,
        )
        return
    walk.emit(
        node,
        tensor,
        lambda name, output: Linear(name, tensor.name, output, weight, bias),
        weight.removesuffix(".weight"),
    )


ATEN = {"linear": Aten(_linear)}
