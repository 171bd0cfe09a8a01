"""Weights that are shared, unknown to the module or no numbers are refused."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codegen.errors import UserError
from nestnet.frontend.capture import capture
from tests.support.nets import head
from tests.support.wrapped import Wrapper


class Shared(nn.Module):
    """One convolution used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Sequential(*head(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(F.relu(self.conv(x))))


def test_shared_weight_is_refused() -> None:
    with pytest.raises(UserError, match=r"'conv.weight': weights are shared.*'conv' and 'conv_2'"):
        capture(Shared(), (7, 5, 3))


def test_tied_parameters_are_refused() -> None:
    first, second = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)
    second.weight = first.weight
    with pytest.raises(UserError, match="weights are shared"):
        capture(nn.Sequential(first, nn.ReLU(), second, *head(3)), (7, 7, 3))


def test_shared_batch_norm_is_refused() -> None:
    norm = nn.BatchNorm2d(3)
    layers = [nn.Conv2d(3, 3, 3), norm, nn.ReLU(), nn.Conv2d(3, 3, 3), norm]
    with pytest.raises(UserError, match=r"'4.weight': weights are shared.*'0' and '3'"):
        capture(nn.Sequential(*layers, *head(3)), (7, 7, 3))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("tensor", "layer"),
    [("0.weight", "0"), ("1.weight", "0"), ("1.bias", "0"), ("1.running_mean", "0"),
     ("1.running_var", "0"), ("4.weight", "4"), ("4.bias", "4")],
)  # fmt: skip
def test_values_that_are_no_numbers_are_refused(tensor: str, layer: str, value: float) -> None:
    module = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), *head(5))
    found = {**dict(module.named_parameters()), **dict(module.named_buffers())}[tensor]
    with torch.no_grad():
        found.view(-1)[2] = value
    with pytest.raises(UserError, match=f"tensor '{tensor}' of layer '{layer}'.*got 1 of"):
        capture(module, (7, 5, 3))


def test_negative_variance_is_refused() -> None:
    module = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), *head(5))
    module[1].running_var[2] = -1.0  # type: ignore[index]
    with pytest.raises(UserError, match=r"'1.running_var'.*got 1 of 5 .*negative"):
        capture(module, (7, 5, 3))


def test_unused_values_do_not_matter() -> None:
    module = Wrapper()
    module.spare = nn.Parameter(torch.full((3,), math.nan))
    assert capture(module, (7, 5, 3)).network.stages


class PlainTensor(nn.Module):
    """A filter that is neither a parameter nor a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.blur = torch.full((3, 1, 3, 3), 1 / 9)
        self.head = nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.conv2d(x, self.blur, padding=1, groups=3)
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


def test_a_weight_the_module_does_not_know_is_refused() -> None:
    with pytest.raises(UserError, match=r"'blur' of layer.*neither a parameter nor.*register_buf"):
        capture(PlainTensor(), (7, 5, 3))
