"""Functions that keep outputs between two numbers are found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from nestnet.frontend.capture import capture
from tests.support.nets import head
from tests.support.wrapped import Call

ENDS: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": torch.sigmoid,
    "a view": lambda x: torch.sigmoid(x).view(x.size(0), -1),
    "limited": lambda x: torch.sigmoid(x).clamp(0.01, 0.99),
    "limited in place": lambda x: torch.sigmoid(x).clamp_(0.01, 0.99),
    "joined": lambda x: torch.cat([torch.sigmoid(x), torch.sigmoid(x)], 1),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_last_sigmoid_is_known_as_one(end: Callable[[Tensor], Tensor]) -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 3), *head(5), Call(end))
    (parts,) = capture(net, (7, 5, 3)).network.bounds
    assert {part and part.function for part in parts} == {"sigmoid"}
    assert all(part is not None and 0 <= part.low < part.high <= 1 for part in parts)


@pytest.mark.parametrize(("last", "name"), [
    (nn.Tanh(), "tanh"),
    (nn.Hardsigmoid(), "hardsigmoid"),
    (Call(lambda x: (-(x**2)).exp()), "bounded function"),
    (nn.Softmax(1), "softmax"),
    *((each, None) for each in (nn.SiLU(), nn.ReLU6(), nn.Softplus(), nn.LeakyReLU(), nn.ELU())),
    (nn.Sequential(nn.LeakyReLU(), nn.ReLU6()), None),
    (nn.Sequential(nn.Sigmoid(), nn.Linear(5, 7)), None),
], ids=repr)  # fmt: skip
def test_functions_that_level_off_on_both_sides_are_bounds(
    last: nn.Module, name: str | None
) -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 3), *head(5), last)
    ((part,),) = capture(net, (7, 5, 3)).network.bounds
    assert (part and part.function) == name
