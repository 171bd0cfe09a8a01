"""Depthwise convolution: one filter per channel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np

from codegen.graph.ir import Graph, Op, Requant
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.weighted import kept_macs
from codegen.kernels.common import cost
from codegen.kernels.common.in_place import depthwise_overlap
from codegen.kernels.common.kernel import Kernel
from codegen.kernels.common.patches import conv_shape
from codegen.kernels.common.shape import WindowArgs, WindowShape
from codegen.kernels.common.tables import (
    RequantConstants,
    requant_constants,
    table_bytes,
    table_contents,
)
from codegen.program.call import LevelCost
from codegen.program.draft import Candidate, Content, Draft, round_up
from codegen.target.target import Target

DEPTHWISE_PLANES = 4
"""Channels the depthwise kernel expands at once."""

DEPTHWISE_BYTES = 3072
"""Scratch a depthwise convolution does not exceed if two rows of outputs fit in less."""

TILED_WIDTHS = (3, 5)
"""Widths of kernels whose outputs are computed in tiles; the larger bounds the height as well."""

TILED_STRIDE = 2
SCHEDULED_KERNEL = 3
FARTHEST_BYTE = 4095
"""The largest offset that an instruction holds."""


@dataclass(frozen=True)
class DepthwiseCost:
    """Instructions of a layer on one of the kernel's paths."""

    mac: float
    output: float
    odd_mac: float
    """More per multiply-accumulate of an output that is in no full tile of 2 x 2."""
    channel: float
    """Per channel and band of rows."""


SCHEDULED = cost.record("depthwise_conv", "scheduled", DepthwiseCost)
"""3x3 tiles scheduled by hand, where :func:`path` finds them."""

TILES = cost.record("depthwise_conv", "tiles", DepthwiseCost)
"""Compiled tiles."""

PLAIN = cost.record("depthwise_conv", "plain", DepthwiseCost)
"""One product at a time, for kernels and strides without tiles."""

ELEMENT = cost.number("depthwise_conv", "element")
"""Per input element widened into a plane."""

FILL = cost.number("depthwise_conv", "fill")
"""Per output of four channels of which the level lacks one; they are stored at once."""


@dataclass(frozen=True)
class DepthwiseConvArgs(WindowArgs):
    """Literal arguments of ``nn_depthwise_conv``."""

    requant: RequantConstants
    band: int
    """Output rows whose input is expanded at once."""


class DepthwiseConvKernel(Kernel):
    """Four channels at once, in bands of rows."""

    name = "depthwise_conv"
    args = DepthwiseConvArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take convolutions with as many groups as input and output channels, no residual."""
        if is_depthwise(op, graph):
            yield Candidate(self.name, lambda: _draft(op, graph), "one filter per channel")


def is_depthwise(op: Op, graph: Graph) -> TypeGuard[Conv2D]:
    """Return whether ``op`` has one filter per channel and nothing this kernel lacks."""
    if not isinstance(op, Conv2D) or not isinstance(op.requant, Requant) or op.groups == 1:
        return False
    in_c, out_c = graph.value(op.input).shape[2], graph.value(op.output).shape[2]
    return op.groups == in_c == out_c and op.residual is None


def _draft(op: Conv2D, graph: Graph) -> Draft:
    """Return the call; weights of channels that no level has lie in flash as zeros, unread."""
    levels, shape = len(graph.levels), conv_shape(op, graph)
    requant = requant_constants(op, graph)
    weights = np.ascontiguousarray(op.weight[..., 0])
    band = depthwise_band(shape)
    align = 4 if weights.size % 4 == 0 else 1
    channels = _channel_contents(op)
    map_bytes = sum(content.array.nbytes for content in channels)
    costs = tuple(
        LevelCost(
            macs=kept_macs(op, shape.out_h * shape.out_w, level),
            cycles=cost.cycles(_instructions(op, shape, band, level, path(shape, requant))),
            weight_bytes=kept_macs(op, 1, level) + map_bytes + table_bytes(op, level, levels),
        )
        for level in range(levels)
    )
    return Draft(
        args=DepthwiseConvArgs(shape, requant, band),
        contents=(Content("weights", weights, align), *table_contents(op, levels), *channels),
        levels=costs,
        scratch_bytes=depthwise_scratch_bytes(shape, band),
        storage="plain",
        overlaps=(depthwise_overlap(shape, band),),
    )


def _channel_contents(op: Conv2D) -> tuple[Content, ...]:
    """Return the levels of a depthwise layer's channels, unless all levels have all channels."""
    if op.group_level is None or not op.group_level.any():
        return ()
    return (Content("channel_level", op.group_level.reshape(-1), 1),)


def path(shape: WindowShape, requant: RequantConstants) -> DepthwiseCost:
    """Return the costs of how ``nn_depthwise_conv`` does a layer (its header says when)."""
    if (
        shape.kernel_w not in TILED_WIDTHS
        or shape.kernel_h > max(TILED_WIDTHS)
        or shape.stride_w > TILED_STRIDE
    ):
        return PLAIN
    pitch = _pitch(shape)
    is_scheduled = (
        shape.kernel_h == shape.kernel_w == SCHEDULED_KERNEL
        and shape.stride_h == shape.stride_w
        and shape.out_w > 1
        and (6 + 2 * shape.stride_h) * pitch + 8 <= FARTHEST_BYTE
        and (shape.out_w + 1) * shape.out_c <= FARTHEST_BYTE
        and requant.fraction_bits > 0
        and (requant.act_min, requant.act_max) == (-128, 127)
    )
    return SCHEDULED if is_scheduled else TILES


def _instructions(
    op: Conv2D, shape: WindowShape, band: int, level: int, per: DepthwiseCost
) -> float:
    """Return what a depthwise convolution executes at ``level``.

    The input of a quad of channels is expanded if any is alive; its outputs are filled if any is
    not.
    """
    positions = shape.out_h * shape.out_w
    alive = np.ones(shape.out_c, np.bool_)
    if op.group_level is not None:
        alive = op.group_level.reshape(-1) <= level
    quads = [alive[at : at + DEPTHWISE_PLANES] for at in range(0, shape.out_c, DEPTHWISE_PLANES)]
    expanded = sum(len(quad) for quad in quads if quad.any())
    filled = sum(len(quad) for quad in quads if not quad.all())
    bands = -(-shape.out_h // band)
    rows = shape.in_h + (bands - 1) * max(shape.kernel_h - shape.stride_h, 0)
    odd = positions - (shape.out_h // 2 * 2) * (shape.out_w // 2 * 2)
    instructions = kept_macs(op, positions, level) * per.mac
    instructions += kept_macs(op, odd, level) * per.odd_mac
    instructions += int(alive.sum()) * (positions * per.output + bands * per.channel)
    instructions += expanded * rows * shape.in_w * ELEMENT
    return instructions + filled * positions * FILL + cost.LAYER_START


def depthwise_scratch_bytes(shape: WindowShape, band: int) -> int:
    """Return the bytes of a depthwise convolution's planes (docs/format.md, "Depthwise scratch").

    Args:
        shape: the layer's extents.
        band: output rows whose input is expanded at once.
    """
    rows = (band - 1) * shape.stride_h + shape.kernel_h
    return round_up(2 * min(DEPTHWISE_PLANES, shape.out_c) * rows * _pitch(shape), 8)


def _pitch(shape: WindowShape) -> int:
    """Return the elements of a plane's row."""
    return round_up((shape.out_w - 1) * shape.stride_w + shape.kernel_w, 2)


def depthwise_band(shape: WindowShape) -> int:
    """Return the output rows a depthwise convolution expands at once.

    All of them if the planes take at most ``DEPTHWISE_BYTES``, else even parts of the map: each
    part expands ``kernel_h - stride_h`` rows again. Even, because tiles are two rows high.
    """
    band = shape.out_h
    parts = 1
    while band > 2 and depthwise_scratch_bytes(shape, band) > DEPTHWISE_BYTES:
        parts += 1
        band = round_up(-(-shape.out_h // parts), 2)
    return band


KERNELS = (DepthwiseConvKernel(),)
