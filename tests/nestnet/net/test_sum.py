"""Means, sums and maxima over any dimensions: what they become in the integer graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from codegen.errors import UserError
from codegen.graph.ir import Level
from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.ops.reshape import Reshape
from nestnet.exporting.exporter import export
from nestnet.frontend.tracing import trace
from nestnet.net.quantize import quantize
from tests.support.exports import PROVENANCE

C, H, W = 6, 5, 7


class Reduce(nn.Module):
    """A reduction between a convolution and a layer that takes whatever is left."""

    def __init__(self, reduce: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.reduce = nn.Conv2d(3, C, 1), reduce
        self.last = nn.Linear(reduce(torch.zeros(2, C, H, W)).flatten(1).shape[1], 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.reduce(self.conv(x)).flatten(1))


@pytest.mark.parametrize(
    ("reduce", "kind", "kernel", "reshapes"),
    [
        (lambda x: x.mean((2, 3)), AvgPool, (H, W), 0),
        (lambda x: x.mean(-1, keepdim=True), AvgPool, (1, W), 0),
        (lambda x: x.mean(3), AvgPool, (1, W), 1),
        (lambda x: x.amax(2), MaxPool, (H, 1), 0),
        (lambda x: x.max(dim=-2).values, MaxPool, (H, 1), 0),
        (lambda x: x.amax(1, keepdim=True), MaxPool, (1, C), 2),
        (lambda x: x.mean((1, 3), keepdim=True), AvgPool, (1, W * C), 1),
        (lambda x: x.mean((3, 1)), AvgPool, (1, W * C), 2),
        (lambda x: x.amax((1, 2, 3), keepdim=True), MaxPool, (1, C * H * W), 1),
        (lambda x: x.mean((2, 3)).amax(1, keepdim=True), MaxPool, (1, C), 1),
        (lambda x: x.mean((2, 3), keepdim=True).amax((1, 2)), MaxPool, (1, C), 1),
        (lambda x: x.amax(1), MaxPool, (1, C), 2),
        (lambda x: x.permute(0, 2, 3, 1).mean(-1), AvgPool, (1, C), 2),
        (lambda x: x.flatten(2).transpose(1, 2).mean(1), AvgPool, (1, H * W), 0),
        (lambda x: x.sum(1), Conv2D, (1, C), 2),
        (lambda x: x.sum((2, 3)), Conv2D, (H, W), 0),
        (lambda x: x.sum(1, keepdim=True), Conv2D, (1, C), 2),
    ],
)
def test_a_reduction_is_a_window(
    reduce: Callable[[Tensor], Tensor],
    kind: type[AvgPool | MaxPool | Conv2D],
    kernel: tuple[int, int],
    reshapes: int,
) -> None:
    """Its values are proven by tracing; no byte moves but in the window."""
    torch.manual_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (11, H, W, 3), dtype=np.uint8)
    net = trace(Reduce(reduce), (H, W, 3))
    quantize(net, images)
    graph = export(net, (Level("l0", 0.0, None, None),), PROVENANCE, "net")
    found = [op for op in graph.ops[1:] if isinstance(op, kind)][-1]
    assert found.kernel == kernel
    others = [op for op in graph.ops if op.name.startswith(found.name.split(".")[0])]
    assert sum(isinstance(op, Reshape) for op in others) == reshapes


@pytest.mark.parametrize(
    ("reduce", "words"),
    [
        (lambda x: x.mean((1, 2)), "reduction over channels and height alone"),
        (lambda x: x + x.mean(), "images of a batch"),
        (lambda x: torch.max(x, x), "the larger of two tensors"),
    ],
)
def test_what_lies_apart_is_refused(reduce: Callable[[Tensor], Tensor], words: str) -> None:
    with pytest.raises(UserError, match=f"(?s){words}"):
        trace(Reduce(reduce), (H, W, 3))


def test_a_sum_is_rounded_once() -> None:
    """The mean of most elements, all but one of which are next to nothing, is less than a step."""
    module = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), Sum(), nn.Linear(1, 2))
    with torch.no_grad():
        module[0].weight.fill_(1.0)
    images = np.full((8, H, W, 1), 128, np.uint8)
    images[:, 2, 3, 0] = 128 + np.arange(8) * 16
    net = trace(module, (H, W, 1))
    quantize(net, images)
    values = net.entered([net.pixels.to_float(torch.from_numpy(images))])
    for step in net.eval().steps[:2]:
        values[step.stage.output] = net.run_step(step, values, 0)
    wanted = torch.arange(8) * 16 / 64
    torch.testing.assert_close(values["sum_1"].flatten(), wanted, rtol=0, atol=2.0 / 127)


class Sum(nn.Module):
    """The sum of all positions."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum((2, 3))
