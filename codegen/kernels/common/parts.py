"""The parts that a convolution on the patch buffer joins its map of, as kernels are called."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from codegen.graph.ir import Graph
from codegen.graph.joined import JoinedConv, Part
from codegen.kernels.common.shape import WindowArgs, WindowShape
from codegen.program.draft import Overlap


@dataclass(frozen=True)
class PartArgs:
    """What the members of ``nn_part`` are made of."""

    part: Part
    first: int
    """Channel of the map that is the part's first."""
    count: int
    """Elements of the value it is read from."""


@dataclass(frozen=True)
class PatchArgs(WindowArgs):
    """Literal arguments of a convolution on the patch buffer."""

    parts: tuple[PartArgs, ...]
    """What its map is joined of; empty where it reads one as it lies."""

    @property
    def in_elements(self) -> tuple[int, ...]:
        """Return the elements of the input, or of what each part is read from."""
        return tuple(item.count for item in self.parts) or super().in_elements


def part_args(op: JoinedConv, graph: Graph) -> tuple[PartArgs, ...]:
    """Return the parts of ``op``."""
    firsts = accumulate((part.channels for part in op.parts), initial=0)
    counts = [int(np.prod(graph.value(part.source).shape)) for part in op.parts]
    return tuple(map(PartArgs, op.parts, firsts, counts))


def part_overlap(shape: WindowShape, item: PartArgs) -> Overlap:
    """Return the rule of the value that a part is read from.

    As of a whole map (:func:`codegen.kernels.common.in_place.patch_overlap`): before an output row
    is written its map rows have been expanded; what later ones read must not be written yet.
    """
    out_row = shape.out_w * shape.out_c
    firsts = item.part.pixels(shape.in_h, shape.in_w).min(axis=1)
    unread = np.minimum.accumulate(firsts[::-1])[::-1]  # the lowest element from each row on
    lead = -item.count
    for row in range(shape.out_h - 1):
        next_row = row * shape.stride_h - shape.pad_top + max(shape.kernel_h, shape.stride_h)
        if next_row < shape.in_h:
            lead = max(lead, (row + 1) * out_row - int(unread[max(next_row, 0)]))
    return Overlap(lead)
