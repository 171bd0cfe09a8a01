"""Max pooling, also adaptive."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import fx

from codegen.graph.ops import max_pool as graph_max_pool
from nestnet.net.ops.common.pools import Pool, adaptive_kernel, pads
from nestnet.net.stages import GridRule, Run
from nestnet.net.walk import Aten, Unsupported, Walk, argument, pair

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
        y = x[0]
        top, left, bottom, right = self.padding
        if any(self.padding):
            y = F.pad(y, (left, right, top, bottom), value=float("-inf"))
        return F.max_pool2d(y, self.kernel, self.stride)


def _max_pool2d(walk: Walk, node: fx.Node) -> None:
    tensor = walk.map(node)
    kernel = pair(node.args[1])
    stride = pair(argument(node, 2, "stride", None) or kernel)
    padding = pair(argument(node, 3, "padding", 0))
    dilation = pair(argument(node, 4, "dilation", 1))
    if dilation != (1, 1):
        raise Unsupported("dilated pooling", dilation, "dilation 1")
    ceil_mode = bool(argument(node, 5, "ceil_mode", False))
    around = pads(tensor, node, kernel, stride, padding, ceil_mode)
    walk.emit(
        node,
        tensor,
        lambda name, output: MaxPool(name, tensor.name, output, kernel, stride, around),
    )


def _adaptive_max_pool2d(walk: Walk, node: fx.Node) -> None:
    tensor = walk.map(node)
    kernel = adaptive_kernel(tensor, node)
    for user in node.users:  # (values, indices): only the values are an activation
        if user.target is operator.getitem and user.args[1] == 0:
            walk.emit(
                user,
                tensor,
                lambda name, output: MaxPool(
                    name, tensor.name, output, kernel, kernel, (0, 0, 0, 0)
                ),
            )
            walk.alias(node, user)


def _getitem(walk: Walk, node: fx.Node) -> None:
    if not walk.is_activation(node):
        raise Unsupported("indices of a max pool are used", node.name, "the values only")


ATEN = {
    "max_pool2d": Aten(_max_pool2d),
    "adaptive_max_pool2d": Aten(_adaptive_max_pool2d),
    "getitem": Aten(_getitem),
}
