"""Images in any form but uint8 (n, h, w, c) are refused, saying what to do; nothing is measured."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import nestnet
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph import reference
from nestnet.net.network import NestedNet, predict
from tests.support.nets import conv_bn, head

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


SPOILT = ("0.weight", "1.running_mean", "1.running_var", "1.bias.0", "6.bias")


def spoilt(net: NestedNet, name: str, value: float) -> NestedNet:
    """Return ``net`` with one number of ``name`` lost, as a diverging training loop leaves it."""
    with torch.no_grad():
        tensor = net.state_dict()[f"body.{name}"]
        tensor[(0,) * tensor.dim()] = value
    return net


@functools.cache
def clipped(activation: type[nn.Module]) -> NestedNet:
    """Return a network whose batch norm is followed by ``activation``."""
    body = (nn.Conv2d(3, 11, 3, bias=False), nn.BatchNorm2d(11), activation())
    return nestnet.nest(
        nn.Sequential(*body, conv_bn(11, 13), *head(13)), SHAPE, sparsity=(0.5, 0.2)
    )


@pytest.mark.parametrize("hidden_by", [nn.ReLU, nn.ReLU6])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e38])
@pytest.mark.parametrize("name", SPOILT)
def test_numbers_that_are_not_finite_are_refused(
    name: str, value: float, hidden_by: type[nn.Module], tmp_path: Path
) -> None:
    """Also where activations hide them: infinities of either sign become limits or zeros."""
    net = copy.deepcopy(clipped(hidden_by))
    with pytest.raises(UserError, match=rf"^tensor '{re.escape(name)}': holds values that no"):
        nestnet.quantize(spoilt(net, name, value), PIXELS)
    assert not net.quantize
    spoilt(net, name, 0.5)
    nestnet.quantize(net, PIXELS)
    with pytest.raises(UserError, match=rf"^tensor '{re.escape(name)}'"):
        nestnet.export(spoilt(net, name, value), tmp_path / "net.nestnet")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e38])
def test_ranges_that_are_not_finite_are_not_exported(value: float, tmp_path: Path) -> None:
    net = nestnet.quantize(network(), PIXELS)
    observer = next(step.observer for step in net.steps if step.observer is not None)
    observer.range[1] = value
    with pytest.raises(UserError, match=r"layer '0\.0': its output is not finite"):
        nestnet.export(net, tmp_path / "net.nestnet")


@pytest.mark.parametrize("channels", [3, 11])
def test_a_network_without_weights_is_quantized(channels: int, tmp_path: Path) -> None:
    module = nn.Sequential(nn.MaxPool2d(2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net = nestnet.nest(module, (7, 5, channels), sparsity=(0.0,))
    images = np.random.default_rng(0).integers(0, 256, (17, 7, 5, channels), dtype=np.uint8)
    nestnet.quantize(net, images)
    graph = nestfile.load(nestnet.export(net, tmp_path / "pools.nestnet"))
    got = reference.run_one(graph, (images.astype(np.int16) - 128).astype(np.int8), 0)
    output = graph.only_output
    reals = (got.reshape(17, channels) - np.float64(output.zero_point)) * output.scale[0]
    assert np.abs(reals - predict(net, images, 0)).max() < 1e-3 * output.scale[0]


def test_a_network_that_holds_nothing_is_run() -> None:
    net = nestnet.nest(nn.Sequential(nn.MaxPool2d((7, 5)), nn.Flatten()), SHAPE, sparsity=(0.0,))
    nestnet.quantize(net, PIXELS)
    wanted = (PIXELS.max((1, 2)) - np.float32(128)) / 64
    assert np.array_equal(predict(net, PIXELS, 0), wanted)
