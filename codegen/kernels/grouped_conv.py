"""Grouped convolution that is not depthwise, or one with a residual."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from codegen.graph.ir import Graph, Op, Requant
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.weighted import kept_macs
from codegen.kernels.common import cost
from codegen.kernels.common.in_place import ELEMENTWISE, window_overlap
from codegen.kernels.common.kernel import Kernel
from codegen.kernels.common.patches import conv_shape
from codegen.kernels.common.shape import WindowArgs
from codegen.kernels.common.tables import (
    RequantConstants,
    requant_constants,
    table_bytes,
    table_contents,
)
from codegen.kernels.depthwise_conv import is_depthwise
from codegen.program.call import LevelCost
from codegen.program.draft import Candidate, Content, Draft
from codegen.target.target import Target

MAC = cost.number("grouped_conv", "mac")
TAP = cost.number("grouped_conv", "tap")
"""Per output and kernel position, whatever the channels there."""

OUTPUT = cost.number("grouped_conv", "output")


@dataclass(frozen=True)
class GroupedConvArgs(WindowArgs):
    """Literal arguments of ``nn_grouped_conv``."""

    requant: RequantConstants
    groups: int


class GroupedConvKernel(Kernel):
    """Every output by itself, the window where it lies."""

    name = "grouped_conv"
    args = GroupedConvArgs

    def candidates(self, op: Op, graph: Graph, target: Target) -> Iterator[Candidate]:
        """Take grouped convolutions that the depthwise kernel does not."""
        if not isinstance(op, Conv2D) or not isinstance(op.requant, Requant) or op.groups == 1:
            return
        if not is_depthwise(op, graph):
            why = f"{op.groups} groups of {op.weight.shape[3]} input channels"
            yield Candidate(self.name, lambda: _draft(op, graph), why)


def _draft(op: Conv2D, graph: Graph) -> Draft:
    levels, shape = len(graph.levels), conv_shape(op, graph)
    align = 4 if op.weight.size % 4 == 0 else 1
    positions = shape.out_h * shape.out_w
    per_output = OUTPUT + shape.kernel_h * shape.kernel_w * TAP
    per_position = op.weight.size * MAC + shape.out_c * per_output
    cycles = cost.cycles(positions * per_position + cost.LAYER_START)
    costs = tuple(
        LevelCost(
            macs=kept_macs(op, positions, level),
            cycles=cycles,
            weight_bytes=kept_macs(op, 1, level) + table_bytes(op, level, levels),
        )
        for level in range(levels)
    )
    return Draft(
        args=GroupedConvArgs(shape, requant_constants(op, graph), op.groups),
        contents=(Content("weights", op.weight, align), *table_contents(op, levels)),
        levels=costs,
        storage="plain",
        overlaps=(window_overlap(shape, by_channel=False), ELEMENTWISE),
    )


KERNELS = (GroupedConvKernel(),)
