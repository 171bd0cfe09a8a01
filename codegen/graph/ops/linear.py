"""Fully connected layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from codegen.graph.arithmetic import exact_dtype, requantize
from codegen.graph.cmsis_nn import check_cmsis_nn
from codegen.graph.ir import Broken, Graph, Int8Array, Requant, Shape, TfliteRequant
from codegen.graph.weighted import Weighted, check_weighted, kept_macs, level_weight


@dataclass(frozen=True, eq=False)
class Linear(Weighted):
    """Fully connected layer on the input flattened in h, w, c order; output shape (1, 1, out_c).

    The weight has shape (out_c, in_c).
    """

    requant: Requant | TfliteRequant
    act_min: int
    act_max: int

    @property
    def stride(self) -> tuple[int, int]:
        """Return (1, 1): there is one position."""
        return (1, 1)

    @property
    def kernel(self) -> tuple[int, int]:
        """Return (1, 1)."""
        return (1, 1)

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Return no padding."""
        return (0, 0, 0, 0)

    @property
    def groups(self) -> int:
        """Return 1: every output reads every input."""
        return 1

    @property
    def residual(self) -> None:
        """Return None: a linear layer's epilogue adds nothing."""
        return None

    def out_shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return (1, 1, out_c)."""
        return (1, 1, int(self.weight.shape[0]))

    def run(self, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Multiply the flattened input by the kept weights and requantize."""
        weight = level_weight(self, level)
        dtype = exact_dtype(weight)
        flat = inputs[0].reshape(len(inputs[0]), -1).astype(dtype)
        flat -= graph.value(self.input).zero_point
        acc = (flat @ weight.astype(dtype).T)[:, None, None, :]
        zero_point = graph.value(self.output).zero_point
        return requantize(acc, self.requant, level, zero_point, (self.act_min, self.act_max))

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about extents, weights and tables."""
        if self.weight.ndim != 2:
            yield "weight has 2 dimensions", self.weight.shape
            return
        height, width, channels = graph.value(self.input).shape
        if self.weight.shape[1] != height * width * channels:
            yield f"weight has {height * width * channels} inputs", self.weight.shape[1]
            return
        yield from check_weighted(self, graph)
        yield from check_cmsis_nn(self, graph)

    def macs(self, graph: Graph, level: int) -> int:
        """Return the weights kept at ``level``."""
        return kept_macs(self, 1, level)
