"""Concatenation: tensors side by side, on one grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import fx

from codegen.graph.ops import concat as graph_concat
from nestnet.net.fuse import Fused
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.ops.add import AddConstant
from nestnet.net.ops.clamp import Clamp
from nestnet.net.ops.common.constants import spread_over
from nestnet.net.ops.pad import Pad
from nestnet.net.stages import GridRule, Network, Run, Stage, Step
from nestnet.net.tensors import OPEN, Tensor
from nestnet.net.walk import Aten, Unsupported, Walk, argument, axis_of, sizes_of

SPELLED = "cat"


@dataclass(frozen=True)
class Concat(Stage):
    """Two or more tensors one after the other along an axis."""

    inputs: tuple[str, ...]
    output: str
    dim: int
    """In PyTorch's order."""
    axis: int
    """In h, w, c."""

    makes = (graph_concat.Concat,)
    grid = GridRule.JOINT
    elementwise = False

    def fuse(self, done: Fused) -> None:
        """Take in the inputs of a concatenation along the same axis that nothing else reads."""
        parts: list[str] = []
        for name in self.inputs:
            maker = done.maker(name)
            if isinstance(maker, Concat) and maker.axis == self.axis:
                done.remove(maker)
                parts += maker.inputs
            else:
                parts.append(name)
        done.append(replace(self, inputs=tuple(parts)))

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Join."""
        return torch.cat(x, self.dim)

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return whether it holds for all inputs."""
        return all(inputs)

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add a concatenation."""
        names = tuple(graph.values[name].name for name in self.inputs)
        y = graph.like_input(self)
        graph.ops.append(graph_concat.Concat(self.name, names, y.name, self.axis))

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return 0: bytes are moved."""
        return 0


def _cat(walk: Walk, node: fx.Node) -> None:
    operands = argument(node, 0, "tensors", ())
    if not all(map(walk.is_activation, operands)):
        _with_constants(walk, node, operands)
        return
    first = walk.read(operands[0], channel_axis=None, plain=True)
    assert first is not None
    dim = axis_of(operands[0], argument(node, 1, "dim", 0)) + 1
    axis = first.axis(dim - 1)
    if axis is None:
        raise Unsupported("concatenation of more than maps", first.torch_shape, "batch x c x h x w")
    if len(operands) == 1:
        walk.copy(node, operands[0])
        return
    own: dict[str, Tensor] = {}
    names: list[str] = []
    for operand in operands:
        part = walk.read(operand, first.channel_axis, plain=True)
        assert part is not None
        if part.name not in own:
            own[part.name] = _off_input(walk, operand, part)
        names.append(own[part.name].name)
    walk.emit(
        node,
        first,
        lambda name, output: Concat(name, tuple(names), output, dim, axis),
        channel_axis=first.channel_axis,
    )


def _with_constants(walk: Walk, node: fx.Node, operands: Sequence[fx.Node]) -> None:
    """Read tokens beside an activation's: zeros in their place, to which they are added."""
    (at, *more) = [at for at, each in enumerate(operands) if walk.is_activation(each)]
    if more:
        raise Unsupported(
            "concatenation of several activations with a constant or parameter",
            len(operands),
            "one activation and constants",
            "Concatenate the activations first",
        )
    tensor = walk.read(operands[at], channel_axis=None, plain=True)
    assert tensor is not None
    dim = axis_of(operands[at], argument(node, 1, "dim", 0))
    axis = tensor.axis(dim)
    if axis is None:
        raise Unsupported(
            "concatenation of more than maps", tensor.torch_shape, "batch x c x h x w"
        )
    sizes = [sizes_of(each)[dim] for each in operands]
    front, back = ([0, 0, 0], [0, 0, 0])
    front[axis], back[axis] = sum(sizes[:at]), sum(sizes[at + 1 :])
    shape = list(tensor.torch_shape)
    shape[dim] = sum(sizes)
    whole = Tensor("", tuple(shape), None, tensor.channel_axis)
    sides = (front[0], front[1], front[2]), (back[0], back[1], back[2])
    padded = walk.within(node, whole, lambda name, out: Pad(name, tensor.name, out, *sides))
    spreads = []
    for index, each in enumerate(operands):
        if index == at:
            continue
        spread = spread_over(walk, node, each)
        if spread.shape[dim] != sizes[index]:
            raise Unsupported("a token that is expanded to several", each, "all of them")
        before, after = [0] * len(shape), [0] * len(shape)
        before[dim], after[dim] = sum(sizes[:index]), sum(sizes[index + 1 :])
        spreads.append(replace(spread, before=tuple(before), after=tuple(after)))
    walk.emit(
        node,
        padded,
        lambda name, output: AddConstant(name, padded.name, output, tuple(spreads)),
    )


def _off_input(walk: Walk, operand: fx.Node, part: Tensor) -> Tensor:
    """Return ``part``, or a copy if it lies on the grid of the network's input, which is given."""
    makers = {stage.output: stage for stage in walk.stages}
    name = part.name
    while name in makers and makers[name].grid in (GridRule.INPUT, GridRule.ROUNDED):
        name = makers[name].inputs[0]
    if name in makers:
        return part
    return walk.emit_beside(
        operand, part, lambda name, output: Clamp(name, part.name, output, OPEN)
    )


ATEN = dict.fromkeys(("cat", "concat", "concatenate"), Aten(_cat))
