"""Transposed convolution: a convolution to all phases of the output, and a move that interleaves
them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import fx

from codegen.formats import storage
from codegen.graph.ir import Requant, Shape
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.rearrange import Loop, Rearrange, canonical
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.nested import NestedWeight
from nestnet.net.ops.common.weighted import Weighted, stored
from nestnet.net.stages import Network, Step
from nestnet.net.tensors import along, as_map
from nestnet.net.walk import Aten, Unsupported, Walk, argument

SPELLED = "conv_transpose2d, conv_transpose1d"


@dataclass(frozen=True)
class Phases:
    """How a transposed convolution along one axis is a convolution with stride 1: of the outputs
    ``stride * m + phase``, each phase is one of its channels, at position m."""

    taps: tuple[tuple[int | None, ...], ...]
    """By phase and by element of the convolution's kernel: the element of the transposed one that
    is there, None where the phase has none."""
    padding: tuple[int, int]
    """Of the convolution, before and after."""

    @staticmethod
    def of(extent: int, out: int, kernel: int, stride: int, padding: int) -> Phases:
        """Return the phases for ``extent`` inputs and ``out`` outputs."""
        offsets: list[dict[int, int]] = []
        for phase in range(stride):
            ahead, first = divmod(phase + padding, stride)
            taps = range(first, kernel, stride)
            offsets.append({ahead - index: tap for index, tap in enumerate(taps)})
        reached = [0, *(offset for phase in offsets for offset in phase)]
        low, high = min(reached), max(reached)
        after = max(0, -(-out // stride) + high - extent)
        low = min(low, high - after)  # padding stays smaller than the kernel
        places = range(low, high + 1)
        return Phases(
            tuple(tuple(phase.get(place) for place in places) for phase in offsets), (-low, after)
        )

    @property
    def kernel(self) -> int:
        """Return the extent of the convolution's kernel."""
        return len(self.taps[0])

    def made(self, extent: int) -> int:
        """Return the convolution's outputs for ``extent`` inputs."""
        return extent + sum(self.padding) - self.kernel + 1


@dataclass(frozen=True)
class ConvTranspose2D(Weighted):
    """Transposed 2-D convolution: ``out = act(norm(conv(input) + bias))``; of samples in a row one
    with a kernel of height 1."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    more: tuple[int, int]
    """Further rows and columns of output at bottom and right."""
    phases: tuple[Phases, Phases]
    """Along height and width."""

    makes = (Conv2D, Rearrange)
    elementwise = False

    @property
    def prunable(self) -> bool:
        """Return that every output reads every channel."""
        return True

    def positions(self, network: Network) -> int:
        """Return the positions of the input: each weight meets all of them."""
        return prod(network.tensor(self.input).shape[:2])

    def nested(self, weight: torch.Tensor, bias: torch.Tensor | None) -> NestedWeight:
        """Return the layer; PyTorch's weight has the input channels first."""
        turned = as_map(weight).detach().transpose(0, 1).requires_grad_(weight.requires_grad)
        return NestedTransposed(self, turned, bias)

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add a convolution to the phases, a rearrangement that interleaves them and, where the
        output is no whole number of strides, one that cuts it."""
        x, y = graph.values[self.input], graph.observed(self)
        assert step.layer is not None
        weight, group_size, group_level = stored(step.layer)
        limits = self.act.in_steps(y.scale[-1], y.zero_point)
        (top, bottom), (left, right) = (axis.padding for axis in self.phases)
        around = (top, left, bottom, right)
        count = prod(self.stride)
        requant = _repeated(self.epilogue(graph.net, step).requant, count)
        rows, columns = (
            axis.made(extent) for axis, extent in zip(self.phases, x.shape[:2], strict=True)
        )
        wide = (rows, columns, count * y.shape[2])
        moves = _moves(wide, self.stride, y.shape)
        inner = (f"{self.name}.phases", f"{self.name}.whole")[: len(moves)]
        names = (*inner, self.name)
        made = y if not moves else graph.add_inner(names[0], wide, y)
        tables = ((1, 1), around, 1, requant, *limits)
        graph.ops.append(
            Conv2D(names[0], x.name, made.name, weight, group_size, group_level, *tables)
        )
        for name, (shape, loops) in zip(names[1:], moves, strict=True):
            target = y if name == self.name else graph.add_inner(name, shape, y)
            graph.ops.append(Rearrange(name, made.name, target.name, 0, loops))
            made = target

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return the bytes of multipliers and biases of all phases."""
        out_c = network.tensor(self.output).shape[2] * prod(self.stride)
        return storage.table_bytes(out_c, levels, residual=False)


def _repeated(requant: Requant, count: int) -> Requant:
    """Return the tables for ``count`` times the channels."""
    return replace(
        requant,
        multiplier=np.tile(requant.multiplier, (1, count)),
        bias=np.tile(requant.bias, count),
        bias_delta=np.tile(requant.bias_delta, (1, count)),
    )


def _moves(
    wide: Shape, stride: tuple[int, int], out: Shape
) -> list[tuple[Shape, tuple[Loop, ...]]]:
    """Return shapes and loops of the rearrangements that make ``out`` of the phases ``wide``."""
    (rows, columns, channels), (step_h, step_w), (out_h, out_w, out_c) = wide, stride, out
    moves = []
    whole = (rows * step_h, columns * step_w, out_c)
    if whole != wide:
        loops = (
            *((rows, columns * channels), (step_h, step_w * out_c)),
            *((columns, channels), (step_w * out_c, 1)),
        )
        moves.append((whole, canonical(loops)))
    if out != whole:
        moves.append((out, canonical(((out_h, whole[1] * out_c), (out_w * out_c, 1)))))
    return moves


class NestedTransposed(NestedWeight):
    """Transposed convolution at one level; (n, c, h, w) -> (n, o, h', w'), or without height."""

    def __init__(
        self, stage: ConvTranspose2D, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> None:
        """Build the layer of ``stage`` from the user's current weights, (o, c, kh, kw)."""
        super().__init__(weight, bias)
        self.step = stage.stride
        self.padding = stage.padding
        self.more = stage.more
        self.phases = stage.phases

    def forward(self, x: torch.Tensor, level: int, with_bias: bool = True) -> torch.Tensor:
        """Convolve; without bias the result is what the accumulators hold."""
        weight = self.effective_weight(level).transpose(0, 1)
        bias = self.bias if with_bias else None
        where = (self.step, self.padding, self.more)
        y = F.conv_transpose2d(as_map(x), weight, bias, *where)
        return y.squeeze(2) if x.dim() == 3 else y

    def arranged(self, array: NDArray[Any], fill: int) -> NDArray[Any]:
        """Return (O, kh, kw, n) by phases, those of the width faster than those of the height:
        (phases * O, kh', kw', n)."""
        tall, wide = self.phases
        out_c, n = array.shape[0], array.shape[3]
        parts = np.full(
            (len(tall.taps), len(wide.taps), out_c, tall.kernel, wide.kernel, n), fill, array.dtype
        )
        for (row, column), part in np.ndenumerate(np.empty(parts.shape[:2])):
            del part
            for place_h, tap_h in enumerate(tall.taps[row]):
                for place_w, tap_w in enumerate(wide.taps[column]):
                    if tap_h is not None and tap_w is not None:
                        parts[row, column, :, place_h, place_w] = array[:, tap_h, tap_w]
        return parts.reshape(-1, *parts.shape[3:])


def _conv_transpose2d(walk: Walk, node: fx.Node) -> None:
    tensor = walk.map(node)
    weight = walk.parameter(node.args[1], "weight")
    assert weight is not None
    bias = walk.parameter(argument(node, 2, "bias", None), "bias")
    stride = along(tensor, argument(node, 3, "stride", 1))
    padding = along(tensor, argument(node, 4, "padding", 0), 0)
    more = along(tensor, argument(node, 5, "output_padding", 0), 0)
    groups = int(argument(node, 6, "groups", 1))
    dilation = along(tensor, argument(node, 7, "dilation", 1))
    if groups != 1:
        raise Unsupported(
            "transposed convolution in groups",
            f"{groups} groups",
            "groups=1",
            "Upsample (nn.Upsample) and let a grouped convolution follow",
        )
    if dilation != (1, 1):
        raise Unsupported("dilated transposed convolution", dilation, "dilation 1")
    weight_node = node.args[1]
    assert isinstance(weight_node, fx.Node)
    kernel = along(tensor, weight_node.meta["val"].shape[2:])
    outs = along(tensor, node.meta["val"].shape[2:])
    tall, wide = (
        Phases.of(tensor.shape[axis], outs[axis], kernel[axis], stride[axis], padding[axis])
        for axis in range(2)
    )
    shape = (stride, padding, more, (tall, wide))
    walk.emit(
        node,
        tensor,
        lambda name, output: ConvTranspose2D(name, tensor.name, output, weight, bias, *shape),
        weight.removesuffix(".weight"),
    )


ATEN = dict.fromkeys(("conv_transpose2d", "conv_transpose1d"), Aten(_conv_transpose2d))
