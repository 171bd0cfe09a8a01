"""Elementwise addition."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import fx

from codegen.graph.ops import add as graph_add
from nestnet.net.fuse import Fused
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.ops.common.sums import BYTES_PER_LEVEL, export_sum
from nestnet.net.stages import GridRule, Network, Run, Stage, Step
from nestnet.net.tensors import OPEN, Clip, Tensor
from nestnet.net.walk import Aten, Unsupported, Walk

SPELLED = "add"


@dataclass(frozen=True)
class Add(Stage):
    """Elementwise sum of two tensors of one shape: ``out = act(a + b)``."""

    inputs: tuple[str, str]
    output: str
    act: Clip = OPEN

    makes = (graph_add.Add,)
    grid = GridRule.OWN
    elementwise = True

    @property
    def one_scale(self) -> bool:
        """Return whether its activation has a limit, which is one number for all levels."""
        return self.act.has_limit

    def fuse(self, done: Fused) -> None:
        """Become the residual of the convolution with the most weights whose result only this
        addition uses; that convolution moves to the addition's place."""
        candidates: list[tuple[int, int, Stage, Stage]] = []
        for mine, other in (self.inputs, self.inputs[::-1]):
            maker = done.maker(mine)
            both = None if maker is None else maker.with_residual(other, self.output)
            if maker is not None and both is not None:
                weights = maker.weight_count(done.network)
                candidates.append((weights, done.position(maker), maker, both))
        if not candidates:
            done.append(self)
            return
        _, _, maker, both = max(candidates, key=lambda item: item[:2])
        done.remove(maker)
        done.append(both)

    def with_clip(self, clip: Clip, output: str) -> Stage | None:
        """Return the addition that limits its sum."""
        return replace(self, act=self.act.then(clip), output=output)

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Add."""
        return self.act(x[0] + x[1])

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return whether a limit or both inputs say so."""
        return self.act.lo >= 0 or all(inputs)

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add an addition."""
        export_sum(graph, self, self.inputs, (1.0, 1.0), self.act)

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return the bytes of the addition's tables."""
        return BYTES_PER_LEVEL * levels


def _add(walk: Walk, node: fx.Node) -> None:
    for mine, other in (node.args[:2], node.args[1::-1]):
        if isinstance(other, int | float) and other == 0:  # Python's sum() starts from 0
            walk.copy(node, mine)
            return
    left, right = walk.read(node.args[0]), walk.read(node.args[1])
    if left is None or right is None:
        raise Unsupported(
            "addition of a constant or parameter",
            node.args[1] if right is None else node.args[0],
            "the sum of two activations",
            "Put constants into the bias of a convolution or batch norm",
        )
    if left.torch_shape == right.torch_shape and left.flat_from != right.flat_from:
        raise Unsupported(
            "sum of a flattened map and a vector: their elements lie in different orders",
            f"{_origin(left)} + {_origin(right)}",
            "two vectors, or two maps flattened alike",
            "Add before the map is flattened, or let a linear layer follow it first",
        )
    if left.torch_shape != right.torch_shape:
        raise Unsupported(
            "addition with broadcasting",
            f"{left.torch_shape} + {right.torch_shape}",
            "two tensors of one shape",
            "Make the shapes equal",
        )
    if node.kwargs.get("alpha", 1) != 1:
        raise Unsupported("scaled addition", node.kwargs["alpha"], "alpha = 1")
    walk.emit(node, left, lambda name, output: Add(name, (left.name, right.name), output))


def _origin(tensor: Tensor) -> str:
    if tensor.flat_from is None:
        return f"a vector of {tensor.torch_shape[0]}"
    h, w, c = tensor.flat_from
    return f"a flattened map of {c} x {h} x {w}"


ATEN = {"add": Aten(_add)}
