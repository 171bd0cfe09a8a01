"""Reshape: another view of the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from codegen.graph.ir import Broken, Graph, Int8Array, OneInput, Shape


@dataclass(frozen=True)
class Reshape(OneInput):
    """Relabel the shape of a contiguous h, w, c buffer; no data moves."""

    is_view = True
    keeps_grid = True

    def out_shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return None: any declared shape that :meth:`check` accepts will do."""
        return None

    def run(self, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Relabel the axes."""
        return inputs[0].reshape(len(inputs[0]), *graph.value(self.output).shape)

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield the broken rule: elements stay."""
        before, after = graph.value(self.input), graph.value(self.output)
        if prod(before.shape) != prod(after.shape):
            yield f"the output has {prod(before.shape)} elements", prod(after.shape)
