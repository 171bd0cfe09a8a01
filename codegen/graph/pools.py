"""What the poolings share: a window over each channel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from codegen.graph.ir import Broken, Graph, OneInput, Shape
from codegen.graph.window import check_window, out_extent


@dataclass(frozen=True)
class Pool(OneInput):
    """A reduction of every channel over a window."""

    keeps_grid = True

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    """top, left, bottom, right."""

    def out_shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return the pooled extent; channels pass through."""
        return (*out_extent(self, shapes[0]), shapes[0][2])

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about the window."""
        yield from check_window(self)
