"""Dense operators through the CMSIS-NN s8 API, linked against a library that the user installed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from codegen.graph.ir import Graph, Int8Array, Op, TfliteRequant
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.weighted import Weighted, kept_macs, level_weight
from codegen.kernels import max_pool
from codegen.kernels.common import cost
from codegen.kernels.common.kernel import Kernel
from codegen.kernels.common.patches import conv_shape
from codegen.kernels.common.pools import pool_draft, pool_shape
from codegen.kernels.common.rows import linear_shape
from codegen.kernels.common.shape import WindowArgs, WindowShape
from codegen.kernels.common.tables import table_bytes, table_contents
from codegen.program.call import LevelCost
from codegen.program.draft import Candidate, Content, Draft
from codegen.target.target import Target

MAC = cost.number("cmsis_nn", "mac")
OUTPUT = cost.number("cmsis_nn", "output")
ELEMENT = cost.number("cmsis_nn", "element")
"""Per input element gathered for an output position; output channels share it."""

DEPTHWISE_MAC = cost.number("cmsis_nn", "depthwise_mac")

WHY = "dense at every level, handed to CMSIS-NN"


@dataclass(frozen=True)
class CmsisArgs(WindowArgs):
    """Literal arguments of a convolution or linear layer."""

    groups: int
    in_zero_point: int
    out_zero_point: int
    act_min: int
    act_max: int


@dataclass(frozen=True)
class CmsisPoolArgs(WindowArgs):
    """Literal arguments of ``arm_max_pool_s8``."""

    needs_state = False


class CmsisConv(Kernel):
    """``arm_convolve_wrapper_s8`` on plain OHWI weights."""

    name = "cmsis_conv"
    args = CmsisArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take ungrouped convolutions under the TFLite rule."""
        if isinstance(op, Conv2D) and isinstance(op.requant, TfliteRequant) and op.groups == 1:
            yield Candidate(self.name, lambda: self._draft(op, graph), WHY)

    def _draft(self, op: Conv2D, graph: Graph) -> Draft:
        weights = level_weight(op, len(graph.levels) - 1)
        shape = conv_shape(op, graph)
        return _draft(op, graph, shape, op.groups, weights, shape.out_h * shape.out_w)


class CmsisDepthwiseConv(Kernel):
    """``arm_depthwise_conv_wrapper_s8`` on weights in height, width, channel order."""

    name = "cmsis_depthwise_conv"
    args = CmsisArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take depthwise convolutions under the TFLite rule."""
        if isinstance(op, Conv2D) and isinstance(op.requant, TfliteRequant) and op.groups > 1:
            yield Candidate(self.name, lambda: self._draft(op, graph), WHY)

    def _draft(self, op: Conv2D, graph: Graph) -> Draft:
        weights = level_weight(op, len(graph.levels) - 1)
        rows = np.ascontiguousarray(weights[..., 0].transpose(1, 2, 0))
        shape = conv_shape(op, graph)
        return _draft(op, graph, shape, op.groups, rows, shape.out_h * shape.out_w)


class CmsisLinear(Kernel):
    """A 1x1 convolution: ``arm_fully_connected_s8`` takes one multiplier for all channels."""

    name = "cmsis_linear"
    args = CmsisArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take linear layers under the TFLite rule."""
        if isinstance(op, Linear) and isinstance(op.requant, TfliteRequant):
            yield Candidate(self.name, lambda: self._draft(op, graph), WHY)

    def _draft(self, op: Linear, graph: Graph) -> Draft:
        weights = level_weight(op, len(graph.levels) - 1)
        return _draft(op, graph, linear_shape(op), 1, weights, 1)


class CmsisMaxPool(Kernel):
    """``arm_max_pool_s8``."""

    name = "cmsis_max_pool"
    args = CmsisPoolArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take every max pool but adaptive ones where CMSIS-NN is asked for; the bits are those of
        our kernel."""
        if isinstance(op, MaxPool) and target.kernels == "cmsis-nn" and 0 not in op.stride:
            args = CmsisPoolArgs(pool_shape(op, graph))
            yield Candidate(
                self.name,
                lambda: pool_draft(op, graph, args, max_pool.QUAD, in_place=False),
                "the only kernel for this operator",
            )


def _draft(
    op: Weighted, graph: Graph, shape: WindowShape, groups: int, weights: Int8Array, positions: int
) -> Draft:
    levels = len(graph.levels)
    macs = kept_macs(op, positions, levels - 1)
    instructions = macs * (MAC + ELEMENT / shape.out_c) + positions * shape.out_c * OUTPUT
    if groups > 1:
        instructions = macs * DEPTHWISE_MAC
    level_cost = LevelCost(
        macs, cost.cycles(instructions), weights.size + table_bytes(op, 0, levels)
    )
    align = 4 if weights.size % 4 == 0 else 1
    return Draft(
        args=CmsisArgs(
            shape=shape,
            groups=groups,
            in_zero_point=graph.value(op.input).zero_point,
            out_zero_point=graph.value(op.output).zero_point,
            act_min=op.act_min,
            act_max=op.act_max,
        ),
        contents=(Content("weights", weights, align), *table_contents(op, levels)),
        levels=(level_cost,) * levels,
        scratch_bytes=cmsis_scratch_bytes(shape, depthwise=groups > 1),
        storage="plain",
    )


def cmsis_scratch_bytes(shape: WindowShape, depthwise: bool) -> int:
    """Return a bound on the context buffer ``arm_*_wrapper_s8`` asks for, Cortex-M with DSP.

    Source: CMSIS-NN arm_convolve_get_buffer_sizes_s8.c and
    arm_depthwise_conv_get_buffer_sizes_s8.c, the DSP variants: two int16 columns of
    ``kernel_h * kernel_w * in_c`` (rounded up to 4), or as many int16 for depthwise.
    The generated code still compares this with the library's own ``*_get_buffer_size``.
    """
    patch = shape.kernel_h * shape.kernel_w * shape.in_c
    if depthwise:
        return -(-2 * patch // 8) * 8
    column = -(-patch // 4) * 4
    return -(-4 * column // 8) * 8


KERNELS = (CmsisConv(), CmsisDepthwiseConv(), CmsisLinear(), CmsisMaxPool())
