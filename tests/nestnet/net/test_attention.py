"""Attention as one operator, constants over positions, and images that are several to layers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codegen.errors import UserError
from codegen.graph.ops.add import Add
from codegen.graph.ops.mul import Mul
from codegen.graph.ops.softmax import Softmax
from nestnet.exporting.exporter import export
from nestnet.frontend.capture import capture
from nestnet.frontend.tracing import trace
from nestnet.net.ops.add import AddConstant
from nestnet.net.ops.mul import MulConstant
from nestnet.net.tensors import Spread
from tests.support.exports import PROVENANCE, levels, prepared
from tests.support.nets import CASES, head, images, trained_like

SHAPE = (7, 5, 3)


class Met(nn.Module):
    """A map and a parameter, then scores."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], *shape: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 5, 1)
        self.p = nn.Parameter(torch.randn(shape))
        self.head = nn.Sequential(nn.Conv2d(5, 4, 1), *head(4))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.function(self.first(x), self.p))  # type: ignore[no-any-return]


MET = {
    "all of it": (lambda x, p: x + p, (5, 7, 5)),
    "subtracted, of rows": (lambda x, p: x - p, (1, 7, 1)),
    "of columns and channels": (lambda x, p: p + x.relu(), (1, 5, 1, 5)),
    "a factor of positions": (lambda x, p: x * p, (1, 1, 7, 5)),
    "computed": (lambda x, p: x + p.exp().flip(1) * 0.5, (1, 7, 5)),
    "computed, of channels": (lambda x, p: x * p.exp(), (5, 1, 1)),
    "an entry": (lambda x, p: x + p[:, [1, 0, 1, 0, 1, 0, 1]], (5, 2, 5)),
    "two, and a limit": (lambda x, p: ((x + p[..., :5]) + p[..., 5:]).relu(), (7, 10)),
}


@pytest.mark.parametrize("name", MET)
def test_constants_over_positions_compute_the_same(name: str) -> None:
    function, shape = MET[name]
    torch.manual_seed(1)
    module = Met(function, *shape)
    net, _ = prepared(module, SHAPE, 2, seed=3)
    graph = export(net, levels(), PROVENANCE, "net")
    (op,) = (op for op in graph.ops if isinstance(op, Add | Mul))
    assert op.constant is not None and len(op.inputs) == 1
    assert np.abs(op.constant).max() == 127
    if name == "of columns and channels":
        assert op.constant.shape == (1, 5, 5)


def test_constants_are_trained_and_kept_under_one_name() -> None:
    net = trace(Met(lambda x, p: x + p, 1, 7, 5), SHAPE)
    (step,) = (step for step in net.steps if step.constant is not None)
    net(images(SHAPE, 3, 1)).square().sum().backward()
    assert step.constant is not None
    (value,) = step.constant.values
    assert value.grad is not None and bool((value.grad != 0).all())
    assert "body.add.values.0" in net.state_dict()


def test_a_frozen_parameter_stays_frozen() -> None:
    module = Met(lambda x, p: x + p, 1, 7, 5)
    module.p.requires_grad_(False)
    (constant,) = (step.constant for step in trace(module, SHAPE).steps if step.constant)
    assert not constant.values[0].requires_grad


def test_tokens_beside_a_map_and_places_are_one_sum() -> None:
    case = next(case for case in CASES if case.name == "tokens")
    stages = capture(trained_like(case), case.shape).network.stages
    first, _ = (stage for stage in stages if isinstance(stage, AddConstant))
    assert [spread.before for spread in first.spreads] == [(0, 0), ()]
    assert first.spreads[0].after == (35, 0)
    assert any(isinstance(stage, MulConstant) for stage in stages) == ("channels" in case.name)


def test_a_spread_repeats_and_pads() -> None:
    spread = Spread("p", (1, 2), (0, 0), (3, 0), -2.0)
    assert spread.of(torch.tensor([1.0, 3.0])).tolist() == [[-2, -6], *[[0, 0]] * 3]


@pytest.mark.parametrize(
    ("function", "shape", "words"),
    [
        (lambda x, p: x[:, :, :1] + p, (5, 7, 1), "an activation is repeated"),
        (lambda x, p: torch.cat([x, p.expand(x.shape[0], -1, 2, -1)], 2), (1, 5, 1, 5),
         "expanded to several"),
        (lambda x, p: torch.cat([x, x, p.expand(x.shape[0], -1, -1, -1)], 2), (1, 5, 1, 5),
         "Concatenate the activations first"),
        (lambda x, p: x + (p * torch.arange(x.shape[0])[:, None, None, None]), (1, 5, 7, 1),
         "differs between the images"),
        (lambda x, p: x + p / 0, (5, 7, 5), "infinite values"),
    ],
)  # fmt: skip
def test_what_is_no_constant_over_positions_is_refused(
    function: Callable[[Tensor, Tensor], Tensor], shape: tuple[int, ...], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        trace(Met(function, *shape), SHAPE)


class Masked(nn.Module):
    """Attention with a bias and a scale of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 12, 1)
        self.mask = nn.Parameter(torch.randn(35, 35))
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.first(x).flatten(2).transpose(1, 2).chunk(3, 2)
        y = F.scaled_dot_product_attention(q, k, v, self.mask, scale=0.7)
        return self.head(y.mean(1))  # type: ignore[no-any-return]


def test_attention_with_a_mask_and_a_scale_is_its_parts() -> None:
    torch.manual_seed(1)
    net, _ = prepared(Masked(), SHAPE, 2, seed=3)
    graph = export(net, levels(), PROVENANCE, "net")
    (softmax,) = (op for op in graph.ops if isinstance(op, Softmax))
    assert all(gain > 256 for gain in softmax.gain), "no share is near 1"
    assert len(set(graph.value(softmax.input).scale)) == 1
    kinds = [type(op).__name__ for op in graph.ops]
    assert kinds.count("Matmul") == 2 and kinds.count("Add") == 1


class Folded(nn.Module):
    """Images that are several to the layers, brought out as they are."""

    def __init__(self, inside: nn.Module, whole: bool) -> None:
        super().__init__()
        self.first, self.inside, self.whole = nn.Conv2d(3, 6, 1), inside, whole

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[0]
        y = self.inside(self.first(x).flatten(2).transpose(1, 2).reshape(n * 5, 7, 6))
        return y.reshape(n, -1) if self.whole else y  # type: ignore[no-any-return]


@pytest.mark.parametrize("inside", [nn.Conv1d(7, 7, 1), nn.MaxPool1d(2), nn.AvgPool1d(2)])
def test_layers_of_maps_do_not_take_several_to_an_image(inside: nn.Module) -> None:
    with pytest.raises(UserError, match="images are not the first dimension, or not alone"):
        capture(Folded(inside, whole=True), SHAPE)


def test_an_output_is_one_for_each_image() -> None:
    with pytest.raises(UserError, match="more than the images in its first dimension"):
        capture(Folded(nn.Linear(6, 6), whole=False), SHAPE)
