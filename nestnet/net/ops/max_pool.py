"""Max pooling, also adaptive."""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import fx

from codegen.graph.ops import max_pool as graph_max_pool
from nestnet.net.ops.common.pools import Pool, Window, adaptive, reduction, sliding
from nestnet.net.stages import Around, GridRule, Run, Stage
from nestnet.net.tensors import Tensor, along
from nestnet.net.walk import Aten, Unsupported, Walk, argument

SPELLED = "max pool, maximum over dimensions"


@dataclass(frozen=True)
class MaxPool(Pool):
    """Maximum over a window; padding never wins."""

    makes = (graph_max_pool.MaxPool,)
    grid = GridRule.INPUT
    elementwise = False
    is_monotone = True

    def with_padding(self, around: Around) -> Stage | None:
        """Return the maximum that leaves out what never wins."""
        window = self.window.padded(around) if around.is_least else None
        return None if window is None else replace(self, input=around.source, window=window)

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Take the maximum."""
        y, window, target = self.seen(x[0], at), self.window, at.tensor(self.output)
        top, left, bottom, right = window.padding
        if any(window.padding):
            y = F.pad(y, (left, right, top, bottom), value=float("-inf"))
        if window.is_adaptive:
            y = F.adaptive_max_pool2d(y, target.shape[:2])
        else:
            y = F.max_pool2d(y, window.kernel, window.stride)
        return self.made(y, at)


def _max_pool(walk: Walk, node: fx.Node) -> None:
    tensor = walk.map(node)
    dilation = along(tensor, argument(node, 4, "dilation", 1))
    if dilation != (1, 1):
        raise Unsupported("dilated pooling", dilation, "dilation 1")
    window, _ = sliding(tensor, node, bool(argument(node, 5, "ceil_mode", False)))
    _emit(walk, node, tensor, window)


def _adaptive_max_pool(walk: Walk, node: fx.Node) -> None:
    tensor = walk.map(node)
    _emit(walk, node, tensor, adaptive(tensor, node))


def _amax(walk: Walk, node: fx.Node) -> None:
    """Read a maximum over dimensions, with or without the places where it is."""
    tensor = walk.activation(node, channel_axis=None)
    dims = argument(node, 1, "dim", ())
    if isinstance(dims, fx.Node):
        raise Unsupported("the larger of two tensors", node.target, "a maximum over dimensions")
    dims = [dims] if isinstance(dims, int) else dims
    window, channel_axis = reduction(tensor, dims, argument(node, 2, "keepdim", False))
    _emit(walk, node, tensor, window, channel_axis)


def _emit(walk: Walk, node: fx.Node, tensor: Tensor, window: Window, channel_axis: int = 0) -> None:
    """Append the pool; of one that returns (values, indices) only the values are an activation."""

    def make(name: str, output: str) -> MaxPool:
        return MaxPool(name, tensor.name, output, window)

    if not isinstance(node.meta["val"], tuple | list):
        walk.emit(node, tensor, make, channel_axis=channel_axis)
        return
    for user in node.users:
        if user.target is operator.getitem and user.args[1] == 0:
            walk.emit(user, tensor, make, channel_axis=channel_axis)
            walk.alias(node, user)


ATEN = {
    **dict.fromkeys(
        ("max_pool1d", "max_pool1d_with_indices", "max_pool2d", "max_pool2d_with_indices"),
        Aten(_max_pool),
    ),
    **dict.fromkeys(("adaptive_max_pool1d", "adaptive_max_pool2d"), Aten(_adaptive_max_pool)),
    **dict.fromkeys(("amax", "max"), Aten(_amax)),
}
