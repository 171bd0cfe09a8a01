"""Padding: zeros around a value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import Broken, Graph, Int8Array, OneInput, Shape


@dataclass(frozen=True)
class Pad(OneInput):
    """Put real zeros, which are the zero point, before and after each of h, w, c."""

    keeps_grid = True

    before: Shape
    after: Shape

    def out_shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return the input's extents with what is around."""
        h, w, c = (sum(part) for part in zip(self.before, shapes[0], self.after, strict=True))
        return h, w, c

    def run(self, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Surround with the zero point."""
        padded: Int8Array = self.around(inputs[0], graph.value(self.input).zero_point)
        return padded

    def around(self, images: NDArray[Any], fill: object) -> NDArray[Any]:
        """Return (n, h, w, c) arrays of any type, surrounded by ``fill``."""
        extents = ((0, 0), *zip(self.before, self.after, strict=True))
        return np.pad(images, extents, constant_values=images.dtype.type(fill))

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about the extents."""
        if len(self.before) != 3 or len(self.after) != 3 or min(*self.before, *self.after) < 0:
            yield "padding of h, w, c is at least 0", (self.before, self.after)
