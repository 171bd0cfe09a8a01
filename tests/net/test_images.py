"""Images in any form but uint8 (n, h, w, c) are refused, saying what to do; nothing is measured."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import nestnet
from codegen.errors import UserError
from nestnet.net.network import NestedNet, predict
from tests.net.nets import conv_bn, head

SHAPE = (7, 5, 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (11, *SHAPE), dtype=np.uint8)

REFUSED: dict[str, tuple[object, str, str]] = {
    "float 0..1": (PIXELS.astype(np.float32) / 255, "float32 (11, 7, 5, 3)", "neither scaled"),
    "int8": ((PIXELS.astype(np.int16) - 128).astype(np.int8), "int8 (11, 7, 5, 3)", "Add 128"),
    "int64": (PIXELS.astype(np.int64), "int64 (11, 7, 5, 3)", r"astype\(np.uint8\)"),
    "one image": (PIXELS[0], "uint8 (7, 5, 3)", r"images\[None\]"),
    "none": (PIXELS[:0], "uint8 (0, 7, 5, 3)", "some images"),
    "n, c, h, w": (PIXELS.transpose(0, 3, 1, 2), "uint8 (11, 3, 7, 5)", r"transpose\(0, 2, 3, 1\)"),
    "another size": (PIXELS[:, :6], "uint8 (11, 6, 5, 3)", "Resize"),
    "a float tensor": (torch.zeros(2, 3, 7, 5), "torch tensor, float32 (2, 3, 7, 5)", "ToTensor"),
    "a uint8 tensor": (torch.from_numpy(PIXELS), "torch tensor, uint8 (11, 7, 5, 3)", "numpy"),
    "a list": (list(PIXELS), "list", r"np\.stack"),
}


def network(shape: tuple[int, int, int] = SHAPE) -> NestedNet:
    torch.manual_seed(0)
    return nestnet.nest(
        nn.Sequential(conv_bn(shape[2], 11), conv_bn(11, 13), *head(13)), shape, sparsity=(0.5, 0.2)
    )


@pytest.mark.parametrize("use", [nestnet.quantize, lambda net, images: predict(net, images, 0)])
@pytest.mark.parametrize("case", REFUSED)
def test_other_forms_are_refused(case: str, use: Callable[[NestedNet, object], object]) -> None:
    images, got, action = REFUSED[case]
    net = network()
    with pytest.raises(UserError, match=action) as error:
        use(net, images)
    assert got in error.value.got
    assert error.value.where == "images" and "(n, 7, 5, 3)" in error.value.expected
    assert not net.quantize


def test_grey_images_without_a_channel_axis_are_told_apart() -> None:
    with pytest.raises(UserError, match=r"images\[\.\.\., None\]"):
        nestnet.quantize(network((7, 5, 1)), PIXELS[..., 0])


def test_a_single_image_is_enough() -> None:
    net = nestnet.quantize(network(), PIXELS[:1])
    assert predict(net, PIXELS[:1], 1).shape == (1, 5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("spoil", ["0.0.weight", "0.1.running_var", "0.1.bias.0", "4.bias"])
def test_outputs_that_are_not_finite_are_refused(spoil: str, value: float) -> None:
    """A network may lose its finite weights in a training loop of the user's own."""
    net = network()
    with torch.no_grad():
        tensor = net.state_dict()[f"body.{spoil}"]
        tensor[(0,) * tensor.dim()] = value
    if spoil == "0.1.running_var" and value == float("inf"):
        return  # divides by infinity: a channel of zeros
    layer = "0.0" if spoil.startswith("0.") else "4"
    with pytest.raises(UserError, match=rf"layer '{layer}': its output is not finite"):
        nestnet.quantize(net, PIXELS)
