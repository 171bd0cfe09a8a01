"""Arithmetic with numbers and parameters of channels: where it goes, and what of it learns."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from codegen.errors import UserError
from nestnet.frontend.capture import capture
from nestnet.frontend.tracing import trace
from nestnet.net.ops.conv2d import Conv2D
from nestnet.net.ops.lookup import Lookup

SHAPE = (7, 5, 3)


class Net(nn.Module):
    """A convolution, a function of its result and a parameter, a convolution."""

    def __init__(
        self, function: Callable[[Tensor, Tensor], Tensor], shape: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 3, 3)
        self.number = nn.Parameter(torch.linspace(0.5, 1.5, 5).reshape(shape))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.function(self.first(x), self.number)).mean((2, 3))


@pytest.mark.parametrize(
    ("function", "learns"),
    [
        (lambda x, p: x * p, (True, False)),
        (lambda x, p: p * x, (True, False)),
        (lambda x, p: x / p, (True, False)),
        (lambda x, p: x + p, (False, True)),
        (lambda x, p: p - x, (False, True)),
        (lambda x, p: x - p.detach(), (False, True)),
        (lambda x, p: 2 * x * p + 1, (True, False)),
        (lambda x, p: (x - 1) / 2, (False, False)),
    ],
)
def test_it_is_part_of_the_layer_in_front(
    function: Callable[[Tensor, Tensor], Tensor], learns: tuple[bool, bool]
) -> None:
    net = trace(Net(function, (5, 1, 1)), SHAPE)
    first, *rest = net.steps
    assert [type(step.stage) for step in rest].count(Conv2D) == 1
    assert first.norm is not None and not first.norm.moves
    net.set_levels(2)
    assert len(first.norm.weight) == 2
    frozen = "detach" in function.__code__.co_names
    wanted = (False, False) if frozen else learns
    assert (first.norm.weight[0].requires_grad, first.norm.bias[0].requires_grad) == wanted


def test_it_stands_alone_where_a_limit_is_between() -> None:
    net = trace(Net(lambda x, p: x.relu() * p, (1, 5, 1, 1)), SHAPE)
    unit = net.steps[1].stage
    assert isinstance(unit, Conv2D) and unit.groups == 5 and unit.weight is None


def test_a_number_behind_a_limit_is_a_table() -> None:
    kinds = [type(step.stage) for step in trace(Net(lambda x, p: x.relu() * 3, (5,)), SHAPE).steps]
    assert kinds[1] is Lookup


@pytest.mark.parametrize(
    ("function", "shape", "words"),
    [
        (lambda x, p: x / p, (1, 1, 5, 1), "differs between positions"),
        (lambda x, p: p - x, (1, 1, 5, 1), "differs between positions"),
        (lambda x, p: x / p.exp(), (5, 1, 1), "constant that is computed"),
        (lambda x, p: x / x.mean((2, 3), keepdim=True), (5,), "division by an activation"),
        (lambda x, p: x / 0, (5,), "division by 0"),
    ],
)
def test_what_is_no_affine_of_channels_is_refused(
    function: Callable[[Tensor, Tensor], Tensor], shape: tuple[int, ...], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        capture(Net(function, shape), SHAPE)
