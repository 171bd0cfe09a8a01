"""Convolution, also grouped and depthwise, with all that is fused into its epilogue."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import fx

from codegen.graph import ir
from codegen.graph.ops import conv2d as graph_conv2d
from codegen.graph.window import MAX_TAPS
from nestnet.net.epilogue import UNIT_WEIGHT
from nestnet.net.fuse import Fused
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.nested import NestedWeight
from nestnet.net.ops.common.convolution import convolve
from nestnet.net.ops.common.weighted import Weighted, stored
from nestnet.net.stages import Around, Network, Stage, Step, Summands, inside, joined
from nestnet.net.tensors import OPEN, NormParams, along, as_map
from nestnet.net.walk import Aten, Unsupported, Walk, argument

SPELLED = "conv2d, conv1d"


@dataclass(frozen=True)
class Conv2D(Weighted):
    """2-D convolution: ``out = act(norm(conv(input) + bias) + residual)``; of samples in a row one
    with a kernel of height 1."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    """top, left, bottom, right."""
    groups: int
    residual: str | None = None
    dilation: tuple[int, int] = field(default=(1, 1), kw_only=True)
    is_merged: bool = field(default=False, kw_only=True)
    """Whether it is several convolutions of the user's (:mod:`nestnet.frontend.branches`)."""

    makes = (graph_conv2d.Conv2D,)
    elementwise = False
    kept_dense = "first"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the input and, if one is fused, the residual."""
        return (self.input, *self.residuals)

    @property
    def residuals(self) -> tuple[str, ...]:
        """Return the residual, if one is fused."""
        return () if self.residual is None else (self.residual,)

    @property
    def is_composed(self) -> bool:
        """Return whether kernels were added, or arithmetic became part of its affine."""
        return self.is_merged or super().is_composed

    @property
    def prunable(self) -> bool:
        """Return whether every output reads every channel: a grouped one has little to prune."""
        return self.groups == 1

    @staticmethod
    def unit(name: str, source: str, output: str, channels: int, norm: NormParams) -> Conv2D:
        """Return a batch norm that stands alone: a depthwise 1x1 convolution by 1."""
        pads = (0, 0, 0, 0)
        return Conv2D(name, source, output, None, None, (1, 1), (1, 1), pads, channels, norm=norm)

    @staticmethod
    def pointwise(name: str, source: str, output: str, weight: str, bias: str | None) -> Conv2D:
        """Return a linear layer at every position: a 1x1 convolution."""
        return Conv2D(name, source, output, weight, bias, (1, 1), (1, 1), (0, 0, 0, 0), 1)

    def fuse(self, done: Fused) -> None:
        """Become, if this is a batch norm alone, that of the stage that makes its input."""
        maker = done.maker(self.input) if self.weight is None and self.norm is not None else None
        both = maker.with_norm(self.norm, self.output) if maker and self.norm else None
        if maker is not None and both is not None:
            done.replace(maker, both)
        else:
            done.append(self)

    def with_residual(self, residual: str, output: str) -> Stage | None:
        """Return the convolution that adds ``residual``, unless it is past that."""
        if self.residual is not None or self.act != OPEN:
            return None
        return replace(self, residual=residual, output=output)

    def summands(self, network: Network) -> Summands:
        """Return the convolution alone, and the residual."""
        return Summands(replace(self, residual=None, act=OPEN), self.residuals, self.act)

    def with_padding(self, around: Around) -> Stage | None:
        """Return the convolution that pads by itself, unless a window would see zeros alone."""
        padding = joined(self.padding, around.sides)
        reach = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]
        if not around.is_zero or not inside(padding, reach):
            return None
        return replace(self, input=around.source, padding=padding)

    def weight_count(self, network: Network) -> int:
        """Return output channels x kernel x input channels of a group."""
        in_c = network.tensor(self.input).shape[2]
        out_c = network.tensor(self.output).shape[2]
        return out_c * self.kernel[0] * self.kernel[1] * (in_c // self.groups)

    def nested(self, weight: torch.Tensor, bias: torch.Tensor | None) -> NestedWeight:
        """Return the layer."""
        return NestedConv(self, weight, bias)

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add a convolution."""
        x, y = graph.values[self.input], graph.observed(self)
        epilogue = self.epilogue(graph.net, step)
        if step.layer is None:
            weight = np.full((y.shape[2], 1, 1, 1), UNIT_WEIGHT, np.int8)
            group_size, group_level = 1, None
        else:
            weight, group_size, group_level = stored(step.layer)
        fused = None
        if self.residual is not None and epilogue.residual_multiplier is not None:
            fused = ir.Residual(graph.values[self.residual].name, epilogue.residual_multiplier)
        act_min, act_max = self.act.in_steps(y.scale[-1], y.zero_point)
        graph.ops.append(
            graph_conv2d.Conv2D(
                self.name,
                x.name,
                y.name,
                weight,
                group_size,
                group_level,
                self.stride,
                self.padding,
                self.groups,
                epilogue.requant,
                act_min,
                act_max,
                fused,
            )
        )


class NestedConv(NestedWeight):
    """Convolution at one level; (n, c, h, w) -> (n, o, h', w') or (n, c, w) -> (n, o, w')."""

    def __init__(self, stage: Conv2D, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """Build the layer of ``stage`` from the user's current weights."""
        super().__init__(as_map(weight) if weight.dim() > 2 else weight[:, :, None, None], bias)
        self.padding = stage.padding
        self.stride = stage.stride
        self.dilation = stage.dilation
        self.groups = stage.groups

    def forward(self, x: torch.Tensor, level: int, with_bias: bool = True) -> torch.Tensor:
        """Convolve; without bias the result is what the accumulators hold."""
        weight = self.effective_weight(level)
        bias = self.bias if with_bias else None
        where = (self.stride, self.padding, self.groups, self.dilation)
        y = convolve(as_map(x), weight, bias, *where)
        return y.squeeze(2) if x.dim() == 3 else y


def _conv2d(walk: Walk, node: fx.Node) -> None:
    tensor = walk.map(node)
    weight = walk.parameter(node.args[1], "weight")
    assert weight is not None
    bias = walk.parameter(argument(node, 2, "bias", None), "bias")
    stride = along(tensor, argument(node, 3, "stride", 1))
    padding = argument(node, 4, "padding", 0)
    dilation = along(tensor, argument(node, 5, "dilation", 1))
    groups = int(argument(node, 6, "groups", 1))
    weight_node = node.args[1]
    assert isinstance(weight_node, fx.Node)
    kernel_h, kernel_w = along(tensor, weight_node.meta["val"].shape[2:])
    reach_h, reach_w = (kernel_h - 1) * dilation[0], (kernel_w - 1) * dilation[1]
    if padding == "same":
        top, left = reach_h // 2, reach_w // 2
        pads = (top, left, reach_h - top, reach_w - left)
    else:
        pad_h, pad_w = (0, 0) if padding == "valid" else along(tensor, padding, 0)
        pads = (pad_h, pad_w, pad_h, pad_w)
        if pad_h > reach_h or pad_w > reach_w:  # the kernels are not made for that
            raise Unsupported(
                "padding that is not smaller than the kernel: outputs that see no input",
                f"padding {(pad_h, pad_w)} with a kernel of {(reach_h + 1, reach_w + 1)}",
                f"padding of at most {(reach_h, reach_w)}",
                "Lower the padding; a 1 x 1 kernel needs none",
            )
    if max(reach_h, reach_w) >= ir.MAX_EXTENT or (reach_h + 1) * (reach_w + 1) > MAX_TAPS:
        raise Unsupported(
            "kernel that reaches too far",
            f"{(reach_h + 1, reach_w + 1)} elements",
            f"at most {ir.MAX_EXTENT} along an axis and {MAX_TAPS} in all",
        )
    shape = ((kernel_h, kernel_w), stride, pads, groups)
    walk.emit(
        node,
        tensor,
        lambda name, output: Conv2D(
            name, tensor.name, output, weight, bias, *shape, dilation=dilation
        ),
        weight.removesuffix(".weight"),
    )


ATEN = dict.fromkeys(("conv2d", "conv1d"), Aten(_conv2d))
