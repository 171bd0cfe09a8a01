"""Products of two activations: matmul, bmm, and the attention that is made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import fx

from codegen.errors import UserError
from codegen.graph.ops import matmul as graph_matmul
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.ops.common.integers import as_computed, steps_of
from nestnet.net.ops.common.weighted import settled
from nestnet.net.stages import GridRule, Network, Run, Stage, Step
from nestnet.net.tensors import OPEN, Clip, NormParams, Tensor, View, is_all
from nestnet.net.walk import Aten, Unsupported, Walk

if TYPE_CHECKING:
    from nestnet.net.network import NestedNet

SPELLED = "matmul/bmm of two activations"

_BYTES_PER_LEVEL = 4
"""A multiplier."""

_TURN, _MOVE, _COLUMN = 3.0, 0.5, 3.5
"""About what an element costs: moved alone, moved in a run, and widened by columns more than by
rows; of such layouts the cheapest is taken."""


@dataclass(frozen=True)
class Matmul(Stage):
    """Matrix product over the last two dimensions: ``out = act(factor * a @ b)``."""

    inputs: tuple[str, str]
    output: str
    factor: float = 1.0
    act: Clip = OPEN

    makes = (graph_matmul.Matmul,)
    grid = GridRule.OWN
    elementwise = False

    @property
    def one_scale(self) -> bool:
        """Return whether its activation has a limit, which is one number for all levels."""
        return self.act.has_limit

    def with_norm(self, norm: NormParams, output: str) -> Stage | None:
        """Return the product with a number as factor."""
        factor = self.factor
        if not norm.is_affine or self.act != OPEN:
            return None
        for step in norm.then:
            if step.kind not in ("mul", "div") or isinstance(step.by, str) or len(step.by) > 1:
                return None
            factor = factor * step.by[0] if step.kind == "mul" else factor / step.by[0]
        return replace(self, factor=factor, output=output)

    def with_clip(self, clip: Clip, output: str) -> Stage | None:
        """Return the product with limits."""
        return replace(self, act=self.act.then(clip), output=output)

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Multiply; with the integer operator's bits once the ranges are settled.

        Gradients are those of the real product.
        """
        y = torch.matmul(*x)
        y = self.act(y if self.factor == 1 else y * self.factor)
        if not settled(at.net, at.step):
            return y
        names = self._in_order(at.net.network)
        given = dict(zip(self.inputs, x, strict=True))
        grids = [at.net.grid(name) for name in names]
        steps = [
            steps_of(given[name], at.tensor(name), grid, at.level)
            for name, grid in zip(names, grids, strict=True)
        ]
        target = at.net.grid(self.output)
        points = [grid.zero_point for grid in grids]
        integers = self._operator(at.net).product(steps, points, target.zero_point, at.level)
        return as_computed(y, integers, at.tensor(self.output), target, at.level)

    def _in_order(self, network: Network) -> tuple[str, str]:
        """Return the inputs as the device multiplies them: turned over where rows of the output,
        its channels, are columns."""
        output = network.tensor(self.output)
        is_turned = output.channel_axis == len(output.torch_shape) - 2
        return self.inputs[::-1] if is_turned else self.inputs

    def _operator(self, net: NestedNet) -> graph_matmul.Matmul:
        """Return the integer product, its inputs called as the network's tensors.

        Raises:
            UserError: sums or a factor that the integers have no room for.
        """
        network, names = net.network, self._in_order(net.network)
        grids = [net.grid(name) for name in (*names, self.output)]
        shapes = [network.tensor(name).shape for name in names]
        by_columns = self._is_by_columns(network)
        spans = [max(127 - grid.zero_point, grid.zero_point + 128) for grid in grids[:2]]
        scales = [np.array(grid.scale) for grid in grids]
        gains = self.factor * scales[0] * scales[1] / scales[2]
        try:
            bound = shapes[0][2] * math.prod(spans)
            table = graph_matmul.make_multiplier(gains.tolist(), bound)
        except ValueError as problem:
            raise UserError(
                net.where(self),
                "the integer product has no room for its factor",
                got=str(problem),
                expected="factors and sums whose product fits 32 bits",
                action="Multiply fewer elements, or smaller ones",
            ) from None
        limits = self.act.in_steps(grids[2].scale[-1], grids[2].zero_point)
        return graph_matmul.Matmul(self.name, names, self.output, by_columns, *table, *limits)

    def _is_by_columns(self, network: Network) -> bool:
        """Return whether what is summed over is not side by side in the second operand."""
        names = self._in_order(network)
        tensor = network.tensor(names[1])
        rank = len(tensor.torch_shape)
        summed = rank - 2 if names[1] == self.inputs[1] and names == self.inputs else rank - 1
        return tensor.channel_axis != summed

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return whether a limit or both operands say so."""
        return self.act.lo >= 0 or (all(inputs) and self.factor >= 0)

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add a product."""
        y, op = graph.observed(self), self._operator(graph.net)
        first, second = (graph.values[name].name for name in op.inputs)
        graph.ops.append(replace(op, inputs=(first, second), output=y.name))

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return the bytes of its multipliers."""
        return _BYTES_PER_LEVEL * levels


Operand = tuple[fx.Node | Tensor, View]
"""A node, or a tensor as it is, and what of it is multiplied: its last two dimensions."""


def operand(walk: Walk, argument: object) -> Operand:
    """Return an activation, as it is.

    Raises:
        Unsupported: it is none.
    """
    if not walk.is_activation(argument):
        raise Unsupported(
            "a matrix product with a constant or parameter",
            argument,
            "two activations",
            "Use nn.Linear, which has its weights turned over",
        )
    assert isinstance(argument, fx.Node)
    return argument, walk.seen(argument)[1]


def turned(one: Operand) -> Operand:
    """Return an operand with its last two dimensions exchanged."""
    node, view = one
    rank = len(view.dims)
    return node, view.permuted((*range(rank - 2), rank - 1, rank - 2))


def laid(walk: Walk, a: Operand, b: Operand, *, rows: bool = False) -> tuple[Tensor, Tensor, int]:
    """Return both operands in the cheapest layout there is a kernel for, and which dimension of the
    product then has its channels; with ``rows`` the last.

    Raises:
        Unsupported: no matrices, or matrices that do not fit.
    """
    sizes, others = a[1].sizes, b[1].sizes
    if min(len(sizes), len(others)) < 2 or sizes[:-2] != others[:-2]:
        raise Unsupported(
            "a matrix product of which an operand is repeated, or is no matrix",
            f"{sizes} and {others} of each image",
            "two matrices, or as many of the one as of the other",
            "Expand the smaller one",
        )
    last, middle = len(sizes) - 1, len(sizes) - 2
    straight = [(last, last, last), (last, middle, last)]
    ways = straight if rows else [*straight, (last, middle, middle), (middle, middle, middle)]

    def work(way: tuple[int, int, int]) -> float:
        first, second, result = way
        by_columns = second == last if result == last else first == middle
        widened = math.prod(others if result == last else sizes)
        moves = _work(walk, a, first) + _work(walk, b, second)
        return moves + by_columns * _COLUMN * widened

    first, second, result = min(ways, key=work)
    return _lay(walk, a, first), _lay(walk, b, second), result


def _work(walk: Walk, one: Operand, axis: int) -> float:
    if isinstance(one[0], Tensor):
        return 0.0 if axis == one[0].channel_axis else math.inf
    tensor, _ = walk.seen(one[0])
    loops = one[1].loops(axis)
    if is_all(one[1], loops, tensor):
        return 0.0
    is_run = loops[-1][1] == 1 and loops[-1][0] > 1
    return math.prod(one[1].sizes) * (_MOVE if is_run else _TURN)


def _lay(walk: Walk, one: Operand, axis: int) -> Tensor:
    node, view = one
    if isinstance(node, Tensor):
        return node
    if view == walk.seen(node)[1]:
        tensor = walk.read(node, axis, plain=True)
        assert tensor is not None
        return tensor
    return walk.lay(node, view, axis)


def _matmul(walk: Walk, node: fx.Node) -> None:
    a, b = (operand(walk, argument) for argument in node.args[:2])
    one, other, axis = laid(walk, a, b)
    names = (one.name, other.name)
    walk.emit(
        node,
        one,
        lambda name, output: Matmul(name, names, output),
        channel_axis=axis,
        any_rank=True,
    )


ATEN = dict.fromkeys(("matmul", "bmm"), Aten(_matmul))
