"""What operators of two values, element by element, have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

from codegen.graph.ir import Broken, Graph, Int32Array, Op, Shape, broadcasts
from codegen.graph.weighted import check_clamp


@dataclass(frozen=True, eq=False)
class Pair(Op):
    """An operator that scales what it makes of two elements, shifts and clamps, int32 throughout.

    The second value is repeated where it has one element.
    """

    inputs: tuple[str, str]
    """The second has the shape of the first, or 1 in place of any extent."""
    output: str
    multiplier: Int32Array
    """A row for each level."""
    offset: Int32Array
    """Shape (levels,); holds the output zero point and the rounding half, and what else is the same
    for all elements."""
    shift: int
    act_min: int
    act_max: int

    def reading(self, names: Mapping[str, str]) -> Self:
        """Return this operator reading ``names[x]`` wherever it read x."""
        first, second = self.inputs
        return replace(self, inputs=(names.get(first, first), names.get(second, second)))

    def out_shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return the first input's shape; :meth:`check` compares the second."""
        return shapes[0]

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about shapes and limits."""
        shapes = graph.shapes(self.inputs)
        if not broadcasts(shapes[1], shapes[0]):
            yield f"the second input has the shape {shapes[0]}, or 1 in its place", shapes[1]
        yield from check_clamp(self.act_min, self.act_max)
