"""Rearrangement: bytes of one value in another order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import Broken, Graph, Int8Array, OneInput, Shape

MAX_LOOPS = 6
"""What the kernel has."""

Loop = tuple[int, int]
"""How often it goes round, and how many elements of the input lie between two rounds."""


@dataclass(frozen=True)
class Rearrange(OneInput):
    """Read the input by nested loops, the last the fastest, and write the output in h, w, c order.

    Output element (i0, i1, ...) of the loops is input element ``offset + i0 * stride0 + i1 *
    stride1 ...``. A stride may be 0 (repeat) or negative (flip); what no loop meets is dropped.
    """

    keeps_grid = True

    offset: int
    """Element of the input, in h, w, c order, that is the output's first."""
    loops: tuple[Loop, ...]
    """Extent and stride, outermost first."""

    def out_shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return None: any declared shape that :meth:`check` accepts will do."""
        return None

    def run(self, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Gather."""
        moved: Int8Array = self.moved(inputs[0], graph.value(self.output).shape)
        return moved

    def moved(self, images: NDArray[Any], shape: Shape) -> NDArray[Any]:
        """Return (n, h, w, c) arrays of any type, rearranged to ``shape``."""
        flat = np.ascontiguousarray(images).reshape(len(images), -1)
        extents = tuple(extent for extent, _ in self.loops)
        strides = tuple(stride * flat.itemsize for _, stride in self.loops)
        view = np.lib.stride_tricks.as_strided(
            flat[:, self.offset :], (len(flat), *extents), (flat.strides[0], *strides)
        )
        return view.reshape(len(flat), *shape)

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about extents and addresses."""
        if len(self.loops) > MAX_LOOPS:
            yield f"at most {MAX_LOOPS} loops", len(self.loops)
        extents = [extent for extent, _ in self.loops]
        if min(extents, default=1) < 1:
            yield "loops go round at least once", extents
            return
        count = prod(graph.value(self.output).shape)
        if prod(extents) != count:
            yield f"the loops go round {count} times in all", extents
        lowest, highest = span(self.offset, self.loops)
        last = prod(graph.value(self.input).shape) - 1
        if lowest < 0 or highest > last:
            yield f"addresses are 0..{last}", (lowest, highest)


def span(offset: int, loops: Iterable[Loop]) -> tuple[int, int]:
    """Return the lowest and the highest element that is read."""
    reach = [(extent - 1) * stride for extent, stride in loops]
    return offset + sum(min(0, way) for way in reach), offset + sum(max(0, way) for way in reach)


def canonical(loops: Iterable[Loop]) -> tuple[Loop, ...]:
    """Return the fewest loops that read the same elements in the same order."""
    merged: list[Loop] = []
    for extent, stride in loops:
        if extent == 1:
            continue
        if merged and merged[-1][1] == extent * stride:
            merged[-1] = (merged[-1][0] * extent, stride)
        else:
            merged.append((extent, stride))
    return tuple(merged)
