"""Sum over dimensions: a depthwise convolution by 1 over all that is added up."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx

from codegen.formats import storage
from codegen.graph import ir
from codegen.graph.ops.conv2d import Conv2D
from nestnet.net.epilogue import UNIT_WEIGHT
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.ops.common.pools import Window, export_window, reduction, seen_as, shaped_as
from nestnet.net.requant import make_requant
from nestnet.net.stages import GridRule, Network, OneInput, Run, Step
from nestnet.net.walk import Aten, Walk, argument

SPELLED = "sum over dimensions"


@dataclass(frozen=True)
class Sum(OneInput):
    """Sum over a window that is all of the dimensions it reduces; rounded once, unlike the multiple
    of a mean on the input's grid."""

    window: Window

    makes = (Conv2D,)
    grid = GridRule.OWN
    elementwise = False

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Add up."""
        seen = seen_as(x[0], self.window.view, at.tensor(self.input))
        total = F.avg_pool2d(seen, self.window.kernel) * math.prod(self.window.kernel)
        return shaped_as(total, at.tensor(self.output))

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return what holds for the input."""
        return all(inputs)

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add a depthwise convolution."""
        x, y = graph.values[self.input], graph.observed(self)
        channels = (self.window.view or x.shape)[2]
        gain = np.repeat(
            (np.array(x.scale) / np.array(y.scale) / UNIT_WEIGHT)[:, None], channels, 1
        )
        largest = UNIT_WEIGHT * math.prod(self.window.kernel) * x.span
        offset = np.full_like(gain, y.zero_point)
        requant, _ = make_requant(graph.net.where(self), gain, offset, largest, None)
        weight = np.full((channels, *self.window.kernel, 1), UNIT_WEIGHT, np.int8)
        sides = (self.window.stride, self.window.padding, channels, requant, -128, 127)

        def make(name: str, x: str, y: str) -> ir.Op:
            return Conv2D(name, x, y, weight, 1, None, *sides)

        export_window(graph, self, self.window, y, make)

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return the bytes of weights, multipliers and biases."""
        channels = (self.window.view or network.tensor(self.input).shape)[2]
        weights = math.prod(self.window.kernel) * channels
        return weights + storage.table_bytes(channels, levels, residual=False)


def _sum(walk: Walk, node: fx.Node) -> None:
    tensor = walk.activation(node, channel_axis=None)
    dims = argument(node, 1, "dim", None) or ()
    window, channel_axis = reduction(tensor, dims, argument(node, 2, "keepdim", False))
    walk.emit(
        node,
        tensor,
        lambda name, output: Sum(name, tensor.name, output, window),
        channel_axis=channel_axis,
    )


ATEN = {"sum": Aten(_sum)}
