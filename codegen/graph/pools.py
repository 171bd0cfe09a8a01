"""What the poolings share: a window over each channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import INT32_MAX, Broken, Graph, OneInput, Shape
from codegen.graph.window import check_window, out_extent

Span = tuple[int, int]
"""First row or column of a window, and the one behind its last; both may lie in the padding."""


@dataclass(frozen=True)
class Pool(OneInput):
    """A reduction of every channel over a window.

    Along an axis whose stride is 0 the windows are those of an adaptive pool: of ``out`` windows
    over ``extent`` elements, window i is from ``i * extent // out`` to before
    ``ceil((i + 1) * extent / out)``, and the kernel is as large as the largest.
    """

    keeps_grid = True

    kernel: tuple[int, int]
    stride: tuple[int, int]
    """Vertical and horizontal; 0 along an axis with adaptive windows."""
    padding: tuple[int, int, int, int]
    """top, left, bottom, right."""

    def out_shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return the pooled extent; channels pass through. Adaptive windows leave it open."""
        if 0 in self.stride:
            return None
        return (*out_extent(self, shapes[0]), shapes[0][2])

    def spans(self, graph: Graph) -> tuple[list[Span], list[Span]]:
        """Return the windows' rows, one for each output row, and their columns."""
        before, after = graph.value(self.input).shape, graph.value(self.output).shape
        rows, columns = (
            [window_span(self, axis, index, before[axis], after[axis]) for index in range(out)]
            for axis, out in enumerate(after[:2])
        )
        return rows, columns

    def reduced(
        self, graph: Graph, images: NDArray[Any], reduce: Callable[..., NDArray[Any]]
    ) -> NDArray[Any]:
        """Return what ``reduce``, a sum or a maximum, makes of each window's real elements."""
        for axis, spans in enumerate(self.spans(graph), start=1):
            extent = images.shape[axis]
            images = np.stack(
                [
                    reduce(images.take(range(max(first, 0), min(end, extent)), axis), axis=axis)
                    for first, end in spans
                ],
                axis,
            )
        return images

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about the window."""
        before, after = graph.value(self.input).shape, graph.value(self.output).shape
        slides = _Slides(self.kernel, (self.stride[0] or 1, self.stride[1] or 1), self.padding)
        expected = [*out_extent(slides, before), before[2]]
        for axis, name in enumerate(("height", "width")):
            if not self.stride[axis]:
                yield from self._check_adaptive(axis, name, before[axis], after[axis])
                expected[axis] = after[axis]
        yield from check_window(slides)
        if 0 in self.stride and after != tuple(expected):
            yield f"the output has the shape {tuple(expected)}", after

    def _check_adaptive(self, axis: int, name: str, extent: int, out: int) -> Iterator[Broken]:
        if self.padding[axis] or self.padding[axis + 2]:
            yield f"no padding along an adaptive {name}", self.padding
        if (out + 1) * extent > INT32_MAX:
            yield f"an adaptive {name} times that of the output fits int32", (extent, out)
        elif self.kernel[axis] != adaptive_kernel(extent, out):
            yield f"the kernel of an adaptive {name} is {adaptive_kernel(extent, out)}", self.kernel


@dataclass(frozen=True)
class _Slides:
    """A window, strides of 0 replaced."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]


def window_span(op: Pool, axis: int, index: int, extent: int, out: int) -> Span:
    """Return window ``index`` of ``out`` along ``axis``, 0 for rows, over ``extent`` elements."""
    if not op.stride[axis]:
        return index * extent // out, -(-(index + 1) * extent // out)
    first = index * op.stride[axis] - op.padding[axis]
    return first, first + op.kernel[axis]


def adaptive_kernel(extent: int, out: int) -> int:
    """Return the size of the largest of ``out`` adaptive windows over ``extent`` elements."""
    return max(-(-(i + 1) * extent // out) - i * extent // out for i in range(out))
