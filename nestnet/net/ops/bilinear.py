"""Bilinear upsampling, and linear upsampling of samples in a row."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import fx

from codegen.graph.ops import bilinear as graph_bilinear
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.stages import GridRule, Network, OneInput, Run, Step
from nestnet.net.tensors import as_map
from nestnet.net.walk import Aten, Unsupported, Walk, argument

SPELLED = "bilinear upsampling"


@dataclass(frozen=True)
class Bilinear(OneInput):
    """Resize to the output's height and width."""

    align_corners: bool

    makes = (graph_bilinear.Bilinear,)
    grid = GridRule.ROUNDED
    elementwise = False

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Interpolate."""
        target = at.tensor(self.output)
        size = target.shape[:2]
        y = F.interpolate(as_map(x[0]), size, mode="bilinear", align_corners=self.align_corners)
        return y.reshape(len(y), *target.torch_shape)

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return what holds for the input."""
        return all(inputs)

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add a bilinear resizing, on its input's grid."""
        x, y = graph.values[self.input], graph.like_input(self)
        corners = int(self.align_corners)
        graph.ops.append(graph_bilinear.Bilinear(self.name, x.name, y.name, corners))

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return 0: weights follow from places."""
        return 0


def _upsample(walk: Walk, node: fx.Node) -> None:
    tensor = walk.map(node)
    align_corners = bool(argument(node, 2, "align_corners", False))
    scales = argument(node, 3, "scale_factors", None)
    extents = zip(tensor.torch_shape[1:], scales or (), node.meta["val"].shape[2:], strict=False)
    if any(extent * scale != out for extent, scale, out in extents) and not align_corners:
        raise Unsupported(
            "interpolation by a factor that gives no whole number of elements",
            f"{scales} times {tensor.torch_shape[1:]}",
            "size= in place of scale_factor=, or recompute_scale_factor=True",
        )
    walk.emit(node, tensor, lambda name, output: Bilinear(name, tensor.name, output, align_corners))


ATEN = dict.fromkeys(("upsample_bilinear2d", "upsample_linear1d"), Aten(_upsample))
