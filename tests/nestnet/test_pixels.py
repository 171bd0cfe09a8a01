"""What a network sees of a pixel: the user's own normalization, in float, int8 and training."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nestnet
from codegen.errors import UserError
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.verify import verify
from nestnet.datasets import Split
from nestnet.exporting.exporter import export
from nestnet.frontend.tracing import trace
from nestnet.net.network import predict, to_float_input
from nestnet.notices import Notice
from nestnet.pixels import DEFAULT, Pixels, pixels_of
from nestnet.tasks._augment import augmented
from nestnet.tasks.classification import TASK
from nestnet.training.batches import Batches
from nestnet.training.phases import measure_statistics
from tests.support.exports import (
    DENSITIES,
    PROVENANCE,
    levels,
    prepared,
    stage_differences,
)
from tests.support.nets import conv_bn, head

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SHAPE = (11, 7, 3)
GRIDS = {"0..1": ((0.0,), (1.0,)), "one pixel": ((51 / 255,), (0.31,)), "white": ((1.0,), (0.5,))}
"""Normalizations that lie on an int8 grid."""
OTHERS = {
    "-1..1": ((0.5,), (0.5,)),
    "per channel": IMAGENET,
    "std per channel": ((0.0,), (1.0, 0.9, 0.8)),
}


def module() -> nn.Module:
    """Return a network that pads its input, with lively statistics."""
    torch.manual_seed(12)
    net = nn.Sequential(
        conv_bn(3, 5, padding=1), nn.Conv2d(5, 7, 3), nn.MaxPool2d(2), nn.ReLU(), *head(7)
    )
    net[0][1].running_mean.normal_(0, 0.3)  # type: ignore[index]
    net[0][1].running_var.uniform_(0.2, 2)  # type: ignore[index]
    return net.eval()


def pixels(count: int = 37) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


def normalize(images: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Return what torchvision's ToTensor and Normalize make of the images."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255
    average, spread = (torch.tensor(v, dtype=torch.float64).view(-1, 1, 1) for v in (mean, std))
    return ((x - average) / spread).float()


@pytest.mark.parametrize("name", [*GRIDS, *OTHERS])
def test_nested_network_is_fed_what_the_module_is(name: str) -> None:
    mean, std = {**GRIDS, **OTHERS}[name]
    own = module()
    net = nestnet.nest(own, SHAPE, sparsity=(0.0,), mean=mean, std=std).eval()
    assert net.pixels.is_grid == (name in GRIDS)
    x = normalize(pixels(), mean, std)
    torch.testing.assert_close(to_float_input(pixels(), net.pixels), x, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        wanted = own(x)
        torch.testing.assert_close(net(x), wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(predict(net, pixels(), 0), wanted.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [*GRIDS, *OTHERS])
def test_every_stage_agrees_with_the_reference(name: str) -> None:
    mean, std = {**GRIDS, **OTHERS}[name]
    seen = pixels_of(mean, std, 3)
    net, images = prepared(module(), SHAPE, 1, 5, seen=seen)
    graph = verify(export(net, levels(), PROVENANCE, "net"))
    source = graph.only_input
    assert source.zero_point == (round(255 * mean[0]) - 128 if name in GRIDS else -128)
    assert source.scale == (1 / (255 * std[0]) if name in GRIDS else 1 / 255,) * len(DENSITIES)
    convolutions = [op for op in graph.ops if isinstance(op, Conv2D)]
    assert len(convolutions) == 2 + (name in OTHERS)
    for level in range(len(DENSITIES)):
        for stage, steps in stage_differences(net, graph, images, level):
            assert steps.max() <= 1 and steps.mean() <= 0.1, (stage, level)


def test_int8_pixels_are_exact_in_the_quantized_network() -> None:
    """The grid of the integer graph's input holds every pixel, the whole range of them."""
    for mean, std in GRIDS.values():
        seen = pixels_of(mean, std, 3)
        x = seen.to_float(torch.arange(256, dtype=torch.uint8).view(1, 256, 1, 1))
        q = torch.arange(256) - 128
        torch.testing.assert_close(x.flatten(), (q - seen.zero_point) * seen.scale)


def test_normalization_does_not_train() -> None:
    mean, std = IMAGENET
    net = nestnet.nest(module(), SHAPE, sparsity=(0.5, 0.2), group="1x1", mean=mean, std=std)
    assert not [n for n, p in net.named_parameters() if "normalize" in n and p.requires_grad]
    first = net.steps[0].norm
    assert first is not None
    before = first.running_mean.clone(), first.running_var.clone()
    x = normalize(pixels(), *IMAGENET)
    for level in range(2):
        net.train()(x, level).square().sum().backward()
    measure_statistics(net, [(x, torch.zeros(len(x), dtype=torch.long))])
    assert torch.equal(first.running_mean, before[0]) and torch.equal(first.running_var, before[1])


def test_default_is_unchanged() -> None:
    net = trace(module(), SHAPE)
    assert net.pixels == DEFAULT and (DEFAULT.scale, DEFAULT.zero_point) == (1 / 64, 0)
    assert pixels_of((128 / 255,), (64 / 255,), 3) == DEFAULT


@pytest.mark.parametrize(
    ("mean", "std", "words"),
    [
        ((0.5,), (), "both, or neither"),
        ((), (0.5,), "both, or neither"),
        ((0.5, 0.5), (0.5,), "2 numbers as mean, expected 1, or 3"),
        ((0.5,), (0.5,) * 4, "4 numbers as std"),
        ((0.5,), (0.0,), "above 0"),
        ((float("nan"),), (0.5,), "finite"),
        ((123.7,), (58.4,), r"0..255: mean 0\.4851, std 0\.229"),
        ((123.7, 116.3, 103.5), (58.4, 57.1, 57.4), r"0\.4851 0\.4561 0\.4059"),
        ((33.0,), (0.31,), "Divide both by 255"),
        ((0.0,), (255.0,), "Divide both by 255.*mean 0, std 1"),
        ((-0.6,), (1.0,), "a mean of -0.5..1.5"),
    ],
)
def test_impossible_normalizations_are_refused(
    mean: tuple[float, ...], std: tuple[float, ...], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        nestnet.nest(module(), SHAPE, sparsity=(0.0,), mean=mean, std=std)


def test_batches_feed_the_same_and_shift_in_its_zero() -> None:
    seen = pixels_of(*IMAGENET, 3)
    images = pixels(8)
    split = Split(images, np.zeros(8, np.int64))
    (batch,) = Batches(split, TASK, torch.device("cpu"), 8, pixels=seen).in_order()
    torch.testing.assert_close(batch[0], normalize(images, *IMAGENET), rtol=1e-5, atol=1e-5)
    white = torch.full((29, 16, 16, 3), 255, dtype=torch.uint8)
    moved = augmented(white, torch.Generator().manual_seed(1), "crop", seen)[0]
    assert {tuple(p) for p in moved.view(-1, 3).tolist()} == {(255, 255, 255), (124, 116, 104)}


def own_loop(mean: Any, std: Any) -> nn.Module:
    """Return the network after batch norm has seen pixels normalized by mean and std."""
    net = module().train()
    for _ in range(60):
        net(normalize(pixels(), mean, std))
    return net.eval()


@pytest.mark.parametrize(
    ("trained", "said", "warns"),
    [
        (GRIDS["0..1"], {}, True),
        (OTHERS["-1..1"], {}, True),
        (((128 / 255,), (64 / 255,)), {}, False),
        (GRIDS["0..1"], {"mean": 0, "std": 1}, False),
        (IMAGENET, {"mean": IMAGENET[0], "std": IMAGENET[1]}, False),
        (IMAGENET, {"mean": 0, "std": 1}, True),
    ],
)
def test_other_inputs_than_the_trained_ones_are_noticed(
    trained: tuple[Any, Any], said: dict[str, Any], warns: bool
) -> None:
    net = nestnet.nest(own_loop(*trained), SHAPE, sparsity=0.5, group="1x1", **said)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        nestnet.quantize(net, pixels())
    notices = [str(w.message) for w in found if issubclass(w.category, Notice)]
    assert [("trained on other inputs" in text) for text in notices] == [True] * warns


def test_nothing_is_noticed_where_nothing_is_known() -> None:
    fresh = nn.Sequential(conv_bn(3, 5), *head(5))
    plain = nn.Sequential(nn.Conv2d(3, 5, 3), *head(5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for net in (fresh, plain):
            nestnet.quantize(nestnet.nest(net, SHAPE, sparsity=(0.0,)), pixels())
        trained = own_loop(*GRIDS["0..1"])
        assert nestnet.quantize(nestnet.nest(trained, SHAPE, sparsity=(0.0,)), pixels(15)).quantize


def test_pixel_scale_of_a_channel_pair() -> None:
    assert Pixels((10.0,), (4.0,)).is_grid
    assert not Pixels((10.0, 10.0), (4.0, 5.0)).is_grid
    assert not Pixels((-3.0,), (4.0,)).is_grid and not Pixels((256.0,), (4.0,)).is_grid


@pytest.mark.parametrize("taken", ["normalize", "normalize_"])
def test_a_module_may_be_called_as_the_stage_for_pixels(taken: str) -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(7)
    norm.running_mean, norm.running_var = torch.rand(7), torch.rand(7) + 0.5
    parts = {"conv": nn.Conv2d(3, 7, 3), taken: norm, "relu": nn.ReLU()}
    ends = dict(zip(("pool", "flat", "head"), head(7), strict=True))
    module = nn.Sequential(OrderedDict(parts | ends)).eval()
    net = nestnet.nest(
        module, (9, 11, 3), sparsity=(0.0,), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25)
    ).eval()
    x = torch.randn(5, 3, 9, 11)
    assert torch.allclose(net(x), module(x), atol=1e-5)
