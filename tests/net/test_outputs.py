"""Outputs that int8 cannot tell much about are named."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import nestnet
from codegen.errors import UserError
from nestnet.net.network import NestedNet
from nestnet.notices import Notice
from tests.net.nets import conv_bn

SHAPE = (7, 5, 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (31, *SHAPE), dtype=np.uint8)


def regressor(*sizes: float) -> NestedNet:
    """Return a network whose outputs have about the ``sizes``."""
    torch.manual_seed(0)
    head = nn.Linear(11, len(sizes))
    with torch.no_grad():
        head.weight *= torch.tensor(sizes)[:, None]
        head.bias.copy_(torch.tensor(sizes))
    layers = (conv_bn(3, 11), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    return nestnet.nest(nn.Sequential(*layers), SHAPE, sparsity=(0.0,))


def test_an_output_much_smaller_than_another_is_named() -> None:
    with pytest.warns(Notice) as said:
        nestnet.quantize(regressor(130.0, 0.05, 70.0), PIXELS)
    assert "1 of 3 outputs (the first is output 1)" in str(said[0].message)


def test_outputs_of_like_size_are_not() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nestnet.quantize(regressor(130.0, 20.0, 70.0), PIXELS)
        net = nestnet.quantize(regressor(0.05), PIXELS)
    assert net.quantize


@pytest.mark.parametrize("last", [nn.Softmax(1), nn.LogSoftmax(1)])
def test_a_softmax_over_one_output_is_refused(last: nn.Module) -> None:
    net = nn.Sequential(conv_bn(3, 11), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(11, 1))
    with pytest.raises(UserError, match=r"softmax over a single output.*Remove the softmax"):
        nestnet.nest(net.append(last), SHAPE, sparsity=(0.0,))
