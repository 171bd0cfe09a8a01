"""Reshape: another view of the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from codegen.graph.ir import Graph, Int8Array, Reshape, Shape
from codegen.oprule import Broken, OpRule, register
from codegen.program.lowering import Draft, Options


class ReshapeRule(OpRule[Reshape]):
    """Shape, reference and checks of :class:`codegen.graph.ir.Reshape`; it lowers to nothing."""

    def out_shape(self, op: Reshape, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return None: any declared shape that :meth:`check` accepts will do."""
        return None

    def run(
        self, op: Reshape, graph: Graph, inputs: tuple[Int8Array, ...], level: int
    ) -> Int8Array:
        """Relabel the axes."""
        return inputs[0].reshape(len(inputs[0]), *graph.value(op.output).shape)

    def check(self, op: Reshape, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules: elements, scale and zero point stay."""
        before, after = graph.value(op.input), graph.value(op.output)
        if prod(before.shape) != prod(after.shape):
            yield f"the output has {prod(before.shape)} elements", prod(after.shape)
        if (before.scale, before.zero_point) != (after.scale, after.zero_point):
            yield "scale and zero point pass through", (after.scale, after.zero_point)

    def lower(self, op: Reshape, graph: Graph, options: Options) -> Draft | None:
        """Return None: both values share one buffer."""
        return None


register(Reshape, ReshapeRule())
