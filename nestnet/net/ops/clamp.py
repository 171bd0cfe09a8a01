"""Activations that limit: ReLU, ReLU6, hardtanh, clamp."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import fx

from codegen.graph.ops import add as graph_add
from nestnet.net.fuse import Fused
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.ops.common.sums import BYTES_PER_LEVEL, export_sum
from nestnet.net.stages import GridRule, Network, OneInput, Run, Stage, Step
from nestnet.net.tensors import Clip
from nestnet.net.walk import CONSTANTS, Aten, Unsupported, Walk, argument

SPELLED = "relu/relu6/hardtanh/clamp"


@dataclass(frozen=True)
class Clamp(OneInput):
    """Limit every element; what is left of these when all that can be fused is."""

    act: Clip

    makes = (graph_add.Add,)
    grid = GridRule.OWN
    elementwise = True
    activations = ("nn.ReLU", "nn.ReLU6", "nn.Hardtanh")

    @property
    def one_scale(self) -> bool:
        """Return whether it has a limit other than 0, which is one number for all levels."""
        return self.act.has_limit

    def fuse(self, done: Fused) -> None:
        """Become the limits of the stage that makes its input, in front of a max pool if that
        stands between."""
        maker = done.maker(self.input)
        limited = None if maker is None else maker.with_clip(self.act, self.output)
        if maker is not None and limited is not None:
            done.replace(maker, limited)
            return
        if maker is not None and maker.is_monotone:
            before = done.maker(maker.inputs[0])
            limited = None if before is None else before.with_clip(self.act, before.output)
            if before is not None and limited is not None:
                done.replace(before, limited)
                done.replace(maker, maker.making(self.output))
                return
        done.append(self)

    def with_clip(self, clip: Clip, output: str) -> Stage | None:
        """Return both limits as one."""
        return replace(self, act=self.act.then(clip), output=output)

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Limit."""
        return self.act(x[0])

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return whether the limit or the input says so."""
        return self.act.lo >= 0 or all(inputs)

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add an addition of nothing, with limits."""
        export_sum(graph, self, (self.input, self.input), (1.0, 0.0), self.act)

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return the bytes of the addition's tables."""
        return BYTES_PER_LEVEL * levels


def _within(lo: float, hi: float) -> Callable[[Walk, fx.Node], None]:
    """Return what reads an activation with constant limits."""
    return lambda walk, node: _emit(walk, node, lo, hi)


def _emit(walk: Walk, node: fx.Node, lo: float, hi: float) -> None:
    tensor = walk.activation(node, channel_axis=None)
    if not lo < hi:
        raise Unsupported("activation with an empty range", (lo, hi), "lower < upper limit")
    walk.emit(node, tensor, lambda name, output: Clamp(name, tensor.name, output, Clip(lo, hi)))


def _limits(walk: Walk, node: fx.Node) -> None:
    """Read hardtanh and clamp, whose limits are arguments."""
    is_hardtanh = "hardtanh" in str(node.target)
    default = (-1.0, 1.0) if is_hardtanh else (None, None)
    lo = argument(node, 1, "min_val" if is_hardtanh else "min", default[0])
    hi = argument(node, 2, "max_val" if is_hardtanh else "max", default[1])
    if "clamp_min" in str(node.target):
        hi = None
    if "clamp_max" in str(node.target):
        lo, hi = None, argument(node, 1, "max", None)
    for limit in (lo, hi):
        if limit is not None and not isinstance(limit, int | float):
            raise Unsupported("limit is not a constant", limit, "numbers as limits", CONSTANTS)
    _emit(
        walk,
        node,
        -math.inf if lo is None else float(lo),
        math.inf if hi is None else float(hi),
    )


ATEN = {
    "relu": Aten(_within(0.0, math.inf)),
    "relu6": Aten(_within(0.0, 6.0)),
    "hardtanh": Aten(_limits),
    "clamp": Aten(_limits),
    "clip": Aten(_limits),
    "clamp_min": Aten(_limits),
    "clamp_max": Aten(_limits),
}
