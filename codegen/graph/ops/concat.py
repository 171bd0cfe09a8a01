"""Concatenation: values side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from codegen.graph.ir import Broken, Graph, Int8Array, Op, Shape


@dataclass(frozen=True, eq=False)
class Concat(Op):
    """Inputs one after the other along an axis. All have the output's scale and zero point."""

    keeps_grid = True

    inputs: tuple[str, ...]
    """At least two; a value may stand there twice."""
    output: str
    axis: int
    """0 for height, 1 for width, 2 for channels."""

    def reading(self, names: Mapping[str, str]) -> Concat:
        """Return this operator reading ``names[x]`` wherever it read x."""
        return replace(self, inputs=tuple(names.get(name, name) for name in self.inputs))

    def out_shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return the inputs' shape with their extents along the axis added up."""
        height, width, channels = shapes[0]
        extents = [height, width, channels]
        extents[self.axis] = sum(shape[self.axis] for shape in shapes)
        return extents[0], extents[1], extents[2]

    def run(self, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Join the inputs."""
        return np.concatenate(inputs, axis=self.axis + 1)

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about the axis and the shapes."""
        if len(self.inputs) < 2:
            yield "at least two inputs", len(self.inputs)
            return
        if self.axis not in (0, 1, 2):
            yield "the axis is 0, 1 or 2", self.axis
            return
        shapes = graph.shapes(self.inputs)
        for shape in shapes[1:]:
            same = (*shape[: self.axis], shapes[0][self.axis], *shape[self.axis + 1 :])
            if same != shapes[0]:
                yield f"all inputs have the shape {shapes[0]} but for axis {self.axis}", shape
