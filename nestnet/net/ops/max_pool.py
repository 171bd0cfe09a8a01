"""Max pooling, also adaptive."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import fx

from codegen.graph.ops import max_pool as graph_max_pool
from nestnet.net.ops.common.pools import Pool, adaptive_kernel, pads, sizes
from nestnet.net.stages import GridRule, Run
from nestnet.net.tensors import Tensor, as_map
from nestnet.net.walk import Aten, Unsupported, Walk, along, argument

SPELLED = "max pool"


@dataclass(frozen=True)
class MaxPool(Pool):
    """Maximum over a window; padding never wins."""

    makes = (graph_max_pool.MaxPool,)
    grid = GridRule.INPUT
    elementwise = False
    is_monotone = True

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Take the maximum."""
        y = as_map(x[0])
        top, left, bottom, right = self.padding
        if any(self.padding):
            y = F.pad(y, (left, right, top, bottom), value=float("-inf"))
        y = F.max_pool2d(y, self.kernel, self.stride)
        return y.reshape(len(y), *at.tensor(self.output).torch_shape)


def _max_pool(walk: Walk, node: fx.Node) -> None:
    tensor = walk.map(node)
    kernel, stride, padding = sizes(tensor, node)
    dilation = along(tensor, argument(node, 4, "dilation", 1))
    if dilation != (1, 1):
        raise Unsupported("dilated pooling", dilation, "dilation 1")
    ceil_mode = bool(argument(node, 5, "ceil_mode", False))
    around = pads(tensor, node, kernel, stride, padding, ceil_mode)
    _emit(walk, node, tensor, kernel, stride, around)


def _adaptive_max_pool(walk: Walk, node: fx.Node) -> None:
    tensor = walk.map(node)
    kernel = adaptive_kernel(tensor, node)
    _emit(walk, node, tensor, kernel, kernel, (0, 0, 0, 0))


def _emit(
    walk: Walk,
    node: fx.Node,
    tensor: Tensor,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    around: tuple[int, int, int, int],
) -> None:
    """Append the pool; of one that returns (values, indices) only the values are an activation."""

    def make(name: str, output: str) -> MaxPool:
        return MaxPool(name, tensor.name, output, kernel, stride, around)

    if not isinstance(node.meta["val"], tuple | list):
        walk.emit(node, tensor, make)
        return
    for user in node.users:
        if user.target is operator.getitem and user.args[1] == 0:
            walk.emit(user, tensor, make)
            walk.alias(node, user)


def _getitem(walk: Walk, node: fx.Node) -> None:
    if not walk.is_activation(node):
        raise Unsupported("indices of a max pool are used", node.name, "the values only")


ATEN = {
    **dict.fromkeys(
        ("max_pool1d", "max_pool1d_with_indices", "max_pool2d", "max_pool2d_with_indices"),
        Aten(_max_pool),
    ),
    **dict.fromkeys(("adaptive_max_pool1d", "adaptive_max_pool2d"), Aten(_adaptive_max_pool)),
    "getitem": Aten(_getitem),
}
