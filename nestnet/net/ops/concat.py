"""Concatenation: tensors side by side, on one grid."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import fx

from codegen.graph.ops import concat as graph_concat
from nestnet.net.fuse import Fused
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.ops.clamp import Clamp
from nestnet.net.stages import GridRule, Network, Run, Stage, Step
from nestnet.net.tensors import OPEN, Tensor
from nestnet.net.walk import Aten, Unsupported, Walk, argument

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
    for operand in operands:
        if not walk.is_activation(operand):
            raise Unsupported(
                "concatenation with a constant or parameter", operand, "activations", "Leave it out"
            )
    first = walk.read(operands[0], channel_axis=None, plain=True)
    assert first is not None
    dim = argument(node, 1, "dim", 0) % (len(first.torch_shape) + 1)
    if dim == 0:
        raise Unsupported("concatenation of batches", "dim=0", "one result for each image")
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
