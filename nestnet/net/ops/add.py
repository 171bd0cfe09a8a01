"""Elementwise addition and subtraction, and PReLU, a sum of its halves."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import fx

from codegen.graph.ops import add as graph_add
from nestnet.net.fuse import Fused
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.ops.clamp import Clamp
from nestnet.net.ops.common.affine import emit_affine, of_channels, with_parameter
from nestnet.net.ops.common.constants import WithConstant, over_positions
from nestnet.net.ops.common.operands import two_activations
from nestnet.net.ops.common.sums import BYTES_PER_LEVEL, export_sum
from nestnet.net.ops.conv2d import Conv2D
from nestnet.net.ops.lookup import Function, Lookup, as_table, emit_function
from nestnet.net.requant import make_add
from nestnet.net.stages import GridRule, Network, Run, Stage, Step, Summands
from nestnet.net.tensors import OPEN, RELU, Arithmetic, Clip, NormParams, Spread, Tensor
from nestnet.net.walk import CONSTANTS, Aten, Unsupported, Walk, argument

SPELLED = "add/sub, prelu"


@dataclass(frozen=True)
class Add(Stage):
    """Elementwise sum ``out = act(factors[0] * a + factors[1] * b)``; b has a's shape, or 1 in
    place of any extent."""

    inputs: tuple[str, str]
    output: str
    act: Clip = OPEN
    factors: tuple[float, float] = (1.0, 1.0)

    makes = (graph_add.Add,)
    grid = GridRule.OWN
    elementwise = True

    @property
    def one_scale(self) -> bool:
        """Return whether its activation has a limit, which is one number for all levels."""
        return self.act.has_limit

    def fuse(self, done: Fused) -> None:
        """Become the residual of the convolution with the most weights whose result only this
        addition uses; that convolution moves to the addition's place. Become a table where both
        summands are functions of one tensor, other than limits."""
        if any(isinstance(done.maker(name), Lookup) for name in self.inputs):
            table = as_table(self, self._scaled_sum, done)
            if table is not None:
                table.fuse(done)
                return
        candidates: list[tuple[int, int, Stage, Stage]] = []
        for mine, other in (self.inputs, self.inputs[::-1]):
            maker = done.maker(mine)
            both = None
            if maker is not None and self._is_plain(done.network):
                both = maker.with_residual(other, self.output)
            if maker is not None and both is not None:
                weights = maker.weight_count(done.network)
                candidates.append((weights, done.position(maker), maker, both))
        if not candidates:
            done.append(self)
            return
        _, _, maker, both = max(candidates, key=lambda item: item[:2])
        done.remove(maker)
        done.append(both)

    def summands(self, network: Network) -> Summands | None:
        """Return both tensors if they are added as they are."""
        return Summands(None, self.inputs, self.act) if self._is_plain(network) else None

    def with_clip(self, clip: Clip, output: str) -> Stage | None:
        """Return the addition that limits its sum."""
        return replace(self, act=self.act.then(clip), output=output)

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Add."""
        return self.act(self._scaled_sum(*x))

    def _scaled_sum(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return the sum without limits."""
        first, second = self.factors
        return (a if first == 1 else a * first) + (b if second == 1 else b * second)

    def _is_plain(self, network: Network) -> bool:
        """Return whether it is what a convolution adds: all of a tensor, as it is."""
        one, other = (network.tensor(name).shape for name in self.inputs)
        return one == other and self.factors == (1.0, 1.0)

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return whether a limit or both inputs say so."""
        return self.act.lo >= 0 or (all(inputs) and min(self.factors) >= 0)

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add an addition."""
        export_sum(graph, self, self.inputs, self.factors, self.act)

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return the bytes of the addition's tables."""
        return BYTES_PER_LEVEL * levels


@dataclass(frozen=True)
class AddConstant(WithConstant):
    """Sum of a map and constants that differ between positions: ``out = act(x + constant)``."""

    makes = (graph_add.Add,)

    def fuse(self, done: Fused) -> None:
        """Become one with such a sum in front of it."""
        maker = done.maker(self.input)
        if isinstance(maker, AddConstant) and maker.act == OPEN:
            spreads = (*maker.spreads, *self.spreads)
            done.replace(maker, replace(maker, spreads=spreads, act=self.act, output=self.output))
        else:
            done.append(self)

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Add."""
        return self.act(x[0] + self.constant(at).to(x[0]))

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return whether the limit says so."""
        return self.act.lo >= 0

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add an addition."""
        x, y = graph.values[self.input], graph.observed(self)
        constant, scale = self.stored(step, graph.net.network.tensor(self.input))
        gains = np.stack([np.array(x.scale), np.full(len(x.scale), scale)], axis=1)
        gains /= np.array(y.scale)[:, None]
        tables = make_add(gains, (x.zero_point, 0), y.zero_point)
        limits = self.act.in_steps(y.scale[-1], y.zero_point)
        graph.ops.append(graph_add.Add(self.name, (x.name,), y.name, *tables, *limits, constant))


def add_constant(walk: Walk, node: fx.Node, tensor: Tensor, spread: Spread) -> None:
    """Append ``tensor`` plus a constant as what ``node`` computes."""
    walk.emit(
        node,
        tensor,
        lambda name, output: AddConstant(name, tensor.name, output, (spread,)),
    )


def _add(walk: Walk, node: fx.Node) -> None:
    _sum(walk, node, (1.0, _alpha(node)))


def _sub(walk: Walk, node: fx.Node) -> None:
    _sum(walk, node, (1.0, -_alpha(node)))


def _rsub(walk: Walk, node: fx.Node) -> None:
    _sum(walk, node, (-_alpha(node), 1.0))


def _sum(walk: Walk, node: fx.Node, factors: tuple[float, float]) -> None:
    """Read ``factors[0]`` times the first argument plus ``factors[1]`` times the second."""
    for place, (mine, other) in enumerate((node.args[:2], node.args[1::-1])):
        if isinstance(other, int | float):
            summand, factor = other * factors[1 - place], factors[place]
            if summand == 0 and factor == 1:  # Python's sum() starts from 0
                walk.copy(node, mine)
                return
            steps = (Function("mul", (factor,)),) if factor != 1 else ()
            emit_function(walk, node, mine, *steps, Function("add", (summand,)))
            return
    found = two_activations(walk, node, "sum")
    if found is None:
        place = 0 if walk.is_activation(node.args[0]) else 1
        parameter = with_parameter(walk, node, place)
        if parameter is None:
            if factors[place] != 1:
                raise Unsupported(
                    "subtraction from a constant that differs between positions",
                    node.target,
                    "a sum, or the constant as what is subtracted",
                    "Write -(x - constant)",
                )
            add_constant(walk, node, *over_positions(walk, node, place, factors[1 - place]))
            return
        tensor, by = parameter
        sign = Arithmetic("mul", (factors[place],))
        summand = factors[1 - place]
        if abs(summand) != 1:
            raise Unsupported("scaled addition of a parameter", summand, "alpha = 1")
        last = Arithmetic("add" if summand > 0 else "sub", by)
        emit_affine(walk, node, tensor, (sign, last) if factors[place] != 1 else (last,))
        return
    whole, part, swapped = found
    names = (whole.name, part.name)
    mine, other = factors[::-1] if swapped else factors
    walk.emit(node, whole, lambda name, output: Add(name, names, output, factors=(mine, other)))


def _alpha(node: fx.Node) -> float:
    """Return what the second operand is multiplied by."""
    alpha = argument(node, 2, "alpha", 1)
    if not isinstance(alpha, int | float):
        raise Unsupported("scaled addition", alpha, "a number as alpha", CONSTANTS)
    return float(alpha)


def _prelu(walk: Walk, node: fx.Node) -> None:
    """Read ``max(x, 0) + slope * min(x, 0)`` as the operators it consists of."""
    tensor = walk.activation(node)
    slope = Arithmetic("mul", of_channels(walk, tensor, node.args[1]))
    negative = Clip(-math.inf, 0.0)
    low = walk.within(node, tensor, lambda name, out: Clamp(name, tensor.name, out, negative))
    scaled = walk.within(
        node,
        low,
        lambda name, out: Conv2D.unit(
            name, low.name, out, tensor.shape[2], NormParams.affine(name, (slope,))
        ),
    )
    high = walk.within(node, tensor, lambda name, out: Clamp(name, tensor.name, out, RELU))
    walk.emit(node, tensor, lambda name, out: Add(name, (high.name, scaled.name), out))


ATEN = {
    "add": Aten(_add),
    **dict.fromkeys(("sub", "subtract"), Aten(_sub)),
    "rsub": Aten(_rsub),
    "prelu": Aten(_prelu),
}
