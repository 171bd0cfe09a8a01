"""What operators of two values, element by element, have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

from codegen.graph.ir import Broken, Graph, Int8Array, Int32Array, Op, Shape, broadcasts
from codegen.graph.weighted import check_clamp


@dataclass(frozen=True, eq=False)
class Pair(Op):
    """An operator that scales what it makes of two elements, shifts and clamps, int32 throughout.

    The second value, or constant, is repeated where it has one element.
    """

    inputs: tuple[str, ...]
    """Two, the second in the shape of the first, or with 1 in place of any extent; one where there
    is a constant."""
    output: str
    multiplier: Int32Array
    """A row for each level."""
    offset: Int32Array
    """Shape (levels,); holds the output zero point and the rounding half, and what else is the same
    for all elements."""
    shift: int
    act_min: int
    act_max: int
    constant: Int8Array | None
    """(h, w, c), zero point 0: stands for the second value, the same for all levels."""

    def reading(self, names: Mapping[str, str]) -> Self:
        """Return this operator reading ``names[x]`` wherever it read x."""
        return replace(self, inputs=tuple(names.get(name, name) for name in self.inputs))

    def shapes(self, graph: Graph) -> tuple[Shape, Shape]:
        """Return the shapes of what is combined."""
        first, *second = graph.shapes(self.inputs)
        return first, tuple(self.constant.shape) if self.constant is not None else second[0]

    def zero_points(self, graph: Graph) -> tuple[int, int]:
        """Return the zero points of what is combined."""
        first, *second = (graph.value(name).zero_point for name in self.inputs)
        return first, 0 if self.constant is not None else second[0]

    def operands(self, inputs: tuple[Int8Array, ...]) -> tuple[Int8Array, Int8Array]:
        """Return what is combined, (n, h, w, c) each; n is 1 of a constant."""
        return inputs[0], inputs[1] if self.constant is None else self.constant[None]

    def out_shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return the first input's shape; :meth:`check` compares the second."""
        return shapes[0]

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about shapes and limits."""
        if len(self.inputs) != (2 if self.constant is None else 1):
            yield "two inputs, or one and a constant", self.inputs
            return
        if self.constant is not None and self.constant.ndim != 3:
            yield "a constant has h, w and c", self.constant.shape
            return
        shapes = self.shapes(graph)
        if not broadcasts(shapes[1], shapes[0]):
            yield f"the second input has the shape {shapes[0]}, or 1 in its place", shapes[1]
        yield from check_clamp(self.act_min, self.act_max)
