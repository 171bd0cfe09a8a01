"""Elementwise multiplication: gates, and what is a table of one tensor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from codegen.graph.ops import mul as graph_mul
from nestnet.net.fuse import Fused
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.ops.common.affine import emit_affine, with_parameter
from nestnet.net.ops.common.constants import WithConstant, over_positions
from nestnet.net.ops.common.operands import two_activations
from nestnet.net.ops.common.weighted import settled
from nestnet.net.ops.lookup import Function, as_table, emit_function
from nestnet.net.ops.normalize import emit_normalize
from nestnet.net.requant import make_mul
from nestnet.net.stages import GridRule, Network, Run, Stage, Step
from nestnet.net.tensors import OPEN, Arithmetic, Clip
from nestnet.net.walk import Aten, Unsupported, Walk

if TYPE_CHECKING:
    from nestnet.net.network import NestedNet

SPELLED = "mul, division by a number or parameter"

_BYTES_PER_LEVEL = 8
"""A multiplier and an offset."""


@dataclass(frozen=True)
class Mul(Stage):
    """Elementwise product ``out = act(a * b)``; b has a's shape, or 1 in place of any extent."""

    inputs: tuple[str, str]
    output: str
    act: Clip = OPEN

    makes = (graph_mul.Mul,)
    grid = GridRule.OWN
    elementwise = True

    @property
    def one_scale(self) -> bool:
        """Return whether its activation has a limit, which is one number for all levels."""
        return self.act.has_limit

    def fuse(self, done: Fused) -> None:
        """Become a table where both factors are functions of one tensor."""
        table = as_table(self, torch.mul, done)
        if table is None:
            done.append(self)
        else:
            table.fuse(done)

    def with_clip(self, clip: Clip, output: str) -> Stage | None:
        """Return the product with limits."""
        return replace(self, act=self.act.then(clip), output=output)

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Multiply; with the integer operator's rounding once the ranges are settled.

        Gradients are those of the product.
        """
        y = self.act(x[0] * x[1])
        if not settled(at.net, at.step):
            return y
        a, b = (at.net.grid(name) for name in self.inputs)
        target, level = at.net.grid(self.output), at.level
        multiplier, offset, shift = self._tables(at.net)
        steps = [
            (part.detach().double() / grid.scale[level]).round()
            for part, grid in zip(x, (a, b), strict=True)
        ]
        total = steps[0] * steps[1] * int(multiplier[level]) + int(offset[level])
        lo, hi = self.act.in_steps(target.scale[-1], target.zero_point)
        found = (total / 2.0**shift).floor().clamp(lo, hi) - target.zero_point
        found = found.to(y) * torch.tensor(target.scale[level], device=y.device)
        return y + (found - y).detach() if y.requires_grad else found

    def _tables(self, net: NestedNet) -> tuple[NDArray[np.int32], NDArray[np.int32], int]:
        """Return multiplier and offset (levels,) and shift."""
        a, b, y = (net.grid(name) for name in (*self.inputs, self.output))
        gains = np.array(a.scale) * np.array(b.scale) / np.array(y.scale)
        return make_mul(gains, (a.zero_point, b.zero_point), y.zero_point)

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return whether a limit or both factors say so."""
        return self.act.lo >= 0 or all(inputs) or self.inputs[0] == self.inputs[1]

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add a multiplication."""
        a, b = (graph.values[name] for name in self.inputs)
        y = graph.observed(self)
        limits = self.act.in_steps(y.scale[-1], y.zero_point)
        tables = self._tables(graph.net)
        graph.ops.append(graph_mul.Mul(self.name, (a.name, b.name), y.name, *tables, *limits, None))

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return the bytes of the multiplication's tables."""
        return _BYTES_PER_LEVEL * levels


@dataclass(frozen=True)
class MulConstant(WithConstant):
    """Product of a map and a constant that differs between positions: ``out = act(x * c)``."""

    makes = (graph_mul.Mul,)
    level_bytes = _BYTES_PER_LEVEL

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Multiply."""
        return self.act(x[0] * self.constant(at).to(x[0]))

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return whether the limit says so."""
        return self.act.lo >= 0

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add a multiplication."""
        x, y = graph.values[self.input], graph.observed(self)
        constant, scale = self.stored(step, graph.net.network.tensor(self.input))
        tables = make_mul(
            np.array(x.scale) * scale / np.array(y.scale), (x.zero_point, 0), y.zero_point
        )
        limits = self.act.in_steps(y.scale[-1], y.zero_point)
        graph.ops.append(graph_mul.Mul(self.name, (x.name,), y.name, *tables, *limits, constant))


def _mul(walk: Walk, node: fx.Node) -> None:
    for mine, other in (node.args[:2], node.args[1::-1]):
        if isinstance(other, int | float):
            emit_function(walk, node, mine, Function("mul", (float(other),)))
            return
    found = two_activations(walk, node, "product")
    if found is None:
        place = 0 if walk.is_activation(node.args[0]) else 1
        parameter = with_parameter(walk, node, place)
        if parameter is not None:
            tensor, by = parameter
            emit_affine(walk, node, tensor, (Arithmetic("mul", by),))
            return
        tensor, spread = over_positions(walk, node, place)
        walk.emit(
            node,
            tensor,
            lambda name, output: MulConstant(name, tensor.name, output, (spread,)),
        )
        return
    whole, part, _ = found
    names = (whole.name, part.name)
    walk.emit(node, whole, lambda name, output: Mul(name, names, output))


def _div(walk: Walk, node: fx.Node) -> None:
    divisor = node.args[1]
    if node.kwargs.get("rounding_mode") is not None:
        raise Unsupported("division that rounds", node.kwargs, "rounding_mode=None")
    if isinstance(divisor, fx.Node) and divisor in walk.absorbed:
        axis, least = walk.absorbed[divisor]
        tensor = walk.activation(node, channel_axis=axis)
        sizes = tensor.shape[2], False
        emit_normalize(walk, node, tensor, *sizes, least, center=False, mean=False)
        return
    if walk.is_activation(divisor):
        raise Unsupported("division by an activation", divisor, "a number or parameter as divisor")
    if not isinstance(divisor, int | float):
        parameter = with_parameter(walk, node, 0)
        if parameter is None:
            raise Unsupported(
                "division by a constant that is computed or differs between positions",
                divisor,
                "a number, or one for each channel",
                "Multiply by its reciprocal",
            )
        tensor, by = parameter
        emit_affine(walk, node, tensor, (Arithmetic("div", by),))
        return
    if divisor == 0:
        raise Unsupported("division by 0", divisor, "another divisor")
    emit_function(walk, node, node.args[0], Function("div", (float(divisor),)))


ATEN = {
    **dict.fromkeys(("mul", "multiply"), Aten(_mul)),
    **dict.fromkeys(("div", "divide", "true_divide"), Aten(_div)),
}
