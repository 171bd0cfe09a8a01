"""There is one way to quantize, and one record of how."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import torch
from torch import Tensor

import nestnet
from codegen.errors import UserError
from nestnet.net.network import NestedNet
from nestnet.net.quantize import Quantization, quantize
from nestnet.net.quantizer import Observer
from tests.support.nets import images

SHAPE = (11, 7, 3)


def network() -> NestedNet:
    torch.manual_seed(5)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, 3),
        torch.nn.ReLU(),
        torch.nn.Conv2d(5, 7, 3),
        torch.nn.Flatten(),
        torch.nn.Linear(7 * 7 * 3, 2),
    )
    return nestnet.nest(module, SHAPE, sparsity=(0.75, 0.5), group="1x1")


def ranges(net: NestedNet) -> list[list[float]]:
    return [m.range.tolist() for m in net.modules() if isinstance(m, Observer)]


def test_pixels_and_inputs_give_the_same_ranges() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (13, *SHAPE), np.uint8)
    of_pixels, of_inputs = network(), network()
    quantize(of_pixels, pixels, Quantization(batch_size=5))
    x = of_inputs.pixels.to_float(torch.from_numpy(pixels))
    quantize(of_inputs, [x[:5], x[5:10], x[10:]])
    assert of_pixels.quantize and of_inputs.quantize
    assert ranges(of_pixels) == ranges(of_inputs)
    assert all(value > 0 for found in ranges(of_pixels) for value in found)


def test_processes_agree_before_ranges_are_checked() -> None:
    def diverged(found: Iterable[Tensor]) -> None:
        for span in found:
            span.fill_(float("inf"))

    with pytest.raises(UserError, match="its output is not finite"):
        quantize(network(), [images(SHAPE, 3, seed=2)], combine=diverged)


def test_images_that_are_refused_leave_the_network_as_it_was() -> None:
    net = network()
    with pytest.raises(UserError, match="images"):
        quantize(net, np.zeros((2, 7, 11, 3), np.uint8))
    assert not net.quantize


@pytest.mark.parametrize(
    ("field", "value"),
    [("batch_size", 0), ("range_batches", 0), ("moving_share", 1.5), ("moving_share", -0.5)],
)
def test_settings_are_checked(field: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"Quantization\.{field}: not acceptable; got {value}"):
        Quantization(**{field: value})  # type: ignore[arg-type]
