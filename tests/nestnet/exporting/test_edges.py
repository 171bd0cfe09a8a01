"""Modules with several inputs and outputs, of vectors and of maps, from PyTorch to the graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nestnet
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph import reference
from tests.support.exports import int8
from tests.support.nets import conv_bn, head

SHAPES = ((7, 11, 3), (5, 3, 2))


class Fusion(nn.Module):
    """Two images in; a map of both sizes, and scores of both together."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = conv_bn(3, 5), conv_bn(2, 5)
        self.boxes = nn.Conv2d(5, 4, 1)
        self.scores = nn.Sequential(nn.Conv2d(10, 10, 1), nn.ReLU(), *head(10))

    def forward(self, left: Tensor, right: Tensor) -> dict[str, Tensor | list[Tensor]]:
        left, right = self.left(left), self.right(right)
        pooled = [nn.functional.adaptive_avg_pool2d(x, 1) for x in (left, right)]
        scores = self.scores(torch.cat(pooled, 1))
        return {"boxes": self.boxes(left), "inner": [right, scores]}


def trained() -> nn.Module:
    """Return the module with statistics of its own."""
    torch.manual_seed(3)
    module = Fusion()
    with torch.no_grad():
        for _ in range(5):
            module(*(torch.randn(8, c, h, w) for h, w, c in SHAPES))
    return module.eval()


def pixels(count: int) -> tuple[np.ndarray, ...]:
    """Return random images for both inputs."""
    random = np.random.default_rng(5)
    return tuple(random.integers(0, 256, (count, *shape), np.uint8) for shape in SHAPES)


def test_every_output_is_the_modules() -> None:
    module = trained()
    net = nestnet.nest(module, SHAPES, sparsity=0.0).eval()
    x = [torch.randn(3, c, h, w) for h, w, c in SHAPES]
    wanted = module(*x)
    found = net(x)
    assert [tuple(y.shape) for y in found] == [(3, 4, 5, 9), (3, 5, 3, 1), (3, 5)]
    for got, one in zip(found, (wanted["boxes"], *wanted["inner"]), strict=True):
        torch.testing.assert_close(got, one)
    assert net.input_shapes == SHAPES
    assert net.output_shapes == ((5, 9, 4), (3, 1, 5), (1, 1, 5))


def test_the_graph_has_names_meanings_and_the_numbers_of_every_output(tmp_path: Path) -> None:
    net = nestnet.nest(trained(), SHAPES, sparsity=(0.6, 0.2))
    images = pixels(37)
    nestnet.quantize(net, images)
    graph = nestfile.load(nestnet.export(net, tmp_path / "fusion.nestnet"))
    assert graph.inputs == ("left", "right")
    assert graph.outputs == ("boxes", "inner_0", "inner_1")
    edges = [graph.value(name) for name in (*graph.inputs, *graph.outputs)]
    assert [edge.meaning for edge in edges] == ["pixels", "pixels", "map", "map", "plain"]
    assert all(len(set(edge.scale)) == 1 for edge in edges)
    net.eval()
    for level in range(2):
        with torch.no_grad():
            x = [net.pixels.to_float(torch.from_numpy(array)) for array in images]
            fake = net(x, level)
        exact = reference.run(graph, [int8(array) for array in images], level)
        for value, y, q in zip(edges[2:], fake, exact, strict=True):
            real = (q.astype(np.float64) - value.zero_point) * value.scale[level]
            mine = y.numpy() if y.dim() == 4 else y.numpy()[:, :, None, None]
            steps = np.abs(mine.transpose(0, 2, 3, 1) - real) / value.scale[level]
            assert steps.max() < 2.5 and (steps > 0.5).mean() < 0.02


def test_inputs_that_do_not_belong_together_are_refused() -> None:
    net = nestnet.nest(trained(), SHAPES, sparsity=0.0)
    left, right = pixels(9)
    with pytest.raises(UserError, match=r"not one for each input.*got ndarray, expected 2: 7x11"):
        nestnet.quantize(net, left)
    with pytest.raises(UserError, match="not as many of every input; got 9, 7"):
        nestnet.quantize(net, (left, right[:7]))
    with pytest.raises(UserError, match=r"not one for each input.*got 1 of them"):
        net(torch.zeros(2, 3, 7, 11))
    with pytest.raises(UserError, match=r"input_shape\[1\]: .*got \(5,\)"):
        nestnet.nest(trained(), (SHAPES[0], (5,)))


class Ends(nn.Module):
    """Probabilities of one vector and the logits of another."""

    def __init__(self) -> None:
        super().__init__()
        self.body = conv_bn(3, 5)
        self.first, self.second = nn.Sequential(*head(5)), nn.Sequential(*head(5))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.body(x)
        return self.first(x).softmax(1), self.second(x)


def test_a_softmax_may_end_each_output() -> None:
    net = nestnet.nest(Ends().eval(), (7, 5, 3), sparsity=0.0).eval()
    x = torch.randn(2, 3, 7, 5)
    (probabilities, plain), (logits, same) = net(x), net.logits(x)
    torch.testing.assert_close(probabilities, logits.softmax(1))
    assert torch.equal(plain, same)


def test_a_tensor_relabelled_is_no_second_output(tmp_path: Path) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = conv_bn(3, 5)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            x = self.body(x)
            return x, nn.functional.dropout(x, 0.5, self.training)

    net = nestnet.nest(Twice().eval(), (7, 5, 3), sparsity=0.0)
    images = np.random.default_rng(1).integers(0, 256, (9, 7, 5, 3), np.uint8)
    nestnet.quantize(net, images)
    with pytest.raises(UserError, match="output 1: it holds the numbers of another output"):
        nestnet.export(net, tmp_path / "twice.nestnet")
