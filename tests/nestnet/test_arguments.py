"""What is wrong with an argument of the public functions is said in one line, before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import nestnet
from codegen.errors import UserError
from codegen.graph import file as nestfile
from nestnet.config import TrainConfig
from nestnet.net.network import NestedNet
from tests.support.nets import conv_bn, head

SHAPE = (7, 5, 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (31, *SHAPE), dtype=np.uint8)
nest: Callable[..., NestedNet] = nestnet.nest


def own() -> nn.Module:
    return nn.Sequential(conv_bn(3, 5), nn.Conv2d(5, 7, 1), *head(7))


@pytest.fixture(scope="module")
def net() -> NestedNet:
    """Return a quantized network of one level."""
    return nestnet.quantize(nest(own(), SHAPE, sparsity=(0.5,)), PIXELS)


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((32, 29), {}, r"input_shape.*height, width, channels.*Give \(32, 29, 3\)"),
        (32, {}, "input_shape.*height, width, channels"),
        ((1, 3, 32, 29), {}, "Leave the batch out"),
        ((32.0, 29, 3), {}, "whole numbers"),
        ((0, 29, 3), {}, "above 0"),
        ((3, 32, 29), {}, r"the first convolution takes 3 channels. Give \(32, 29, 3\)"),
        (SHAPE, {"sparsity": ("0.5",)}, "sparsity.*a finite number"),
        (SHAPE, {"sparsity": (0.5,), "dense_layers": (1,)}, "dense_layers.*each entry a text"),
        (SHAPE, {"mean": "a", "std": 1}, "mean.*number"),
        (SHAPE, {"mean": 0, "std": np.ones((2, 2))}, "std.*number"),
    ],
)
def test_nest_names_the_argument(shape: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=f"(?s){words}"):
        nest(own(), shape, **options)


@pytest.mark.parametrize("shape", [list(SHAPE), np.array(SHAPE), torch.Size(SHAPE)])
def test_lists_and_arrays_will_do(shape: Any) -> None:
    mean = torch.tensor([0.1, 0.2, 0.3])
    made = nest(own(), shape, sparsity=np.array([0.5, 0.25]), mean=mean, std=[1, 1, 1])
    assert made.n_levels == 2 and made.input_shape == SHAPE
    short = nest(own(), shape, sparsity=0.5, dense_layers="4", mean=0, std=1, group="1x1")
    assert short.n_levels == 1 and short.input_shape == SHAPE
    assert made(torch.zeros(2, 3, 7, 5), np.int64(1)).shape == (2, 5)


def test_a_factory_is_to_be_called() -> None:
    for factory in (own, nn.ReLU):
        with pytest.raises(UserError, match=f"Call it: {factory.__name__}"):
            nest(factory, SHAPE)
    with pytest.raises(UserError, match="Call it: own"):
        nestnet.train(module=own, dataset="digits")  # type: ignore[arg-type]


def test_nesting_twice_is_refused(net: NestedNet) -> None:
    with pytest.raises(UserError, match="the module it was nested from"):
        nest(net, SHAPE)


def test_quantize_and_export_take_nested_networks(net: NestedNet, tmp_path: Path) -> None:
    for call in (
        lambda: nestnet.quantize(own(), PIXELS),  # type: ignore[arg-type]
        lambda: nestnet.export(own(), tmp_path / "x.nestnet"),  # type: ignore[arg-type]
        lambda: nestnet.export(tmp_path / "x.nestnet", net),  # type: ignore[arg-type]
    ):
        with pytest.raises(UserError, match=r"network.*Nest the module first"):
            call()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"accuracy_float": (0.5, 0.5)}, "accuracy_float.*got 2 numbers, expected 1, one for each"),
        ({"accuracy_float": (99,)}, "accuracy_float.*0..1, not per cent. Divide by 100"),
        ({"accuracy_quantized": (97.5,)}, "accuracy_quantized.*Divide by 100"),
        ({"accuracy_float": 0.5}, r"Write \(0.5,\)"),
        ({"accuracy_float": ("a",)}, "a number 0..1 or None"),
        ({"class_names": "abcde"}, "class_names.*a list of texts"),
        ({"class_names": range(5)}, "class_names.*Write them as texts"),
        ({"path": None}, "path.*pathlib.Path"),
    ],
)
def test_export_names_the_argument(
    net: NestedNet, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        nestnet.export(net, **{"path": tmp_path / "x.nestnet"} | options)
    assert not list(tmp_path.iterdir())


def test_accuracies_are_written_as_given(net: NestedNet, tmp_path: Path) -> None:
    path = nestnet.export(
        net, str(tmp_path / "x.nestnet"), accuracy_float=np.array([0.75]), accuracy_quantized=[None]
    )
    (level,) = nestfile.load(path).levels
    assert (level.accuracy_float, level.accuracy_quantized) == (0.75, None)


def test_train_takes_one_model() -> None:
    for options in ({"model": "resnet8"}, {"config": TrainConfig(model="resnet8")}):
        with pytest.raises(UserError, match=r"both a module and a model.*model='resnet8'"):
            nestnet.train(module=own(), dataset="digits", **options)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"config is no TrainConfig; got Sequential.*module="):
        nestnet.train(own())  # type: ignore[arg-type]


@pytest.mark.parametrize("run", [None, 3])
def test_a_run_is_a_folder_or_a_name(run: Any) -> None:
    for call in (nestnet.evaluate, nestnet.resume):
        with pytest.raises(UserError, match=r"run: .*what nestnet.train returned"):
            call(run)


def test_a_network_is_fed_floats(net: NestedNet) -> None:
    for x in (np.zeros((2, 3, 7, 5), np.float32), torch.zeros(2, 3, 7, 5, dtype=torch.uint8)):
        with pytest.raises(UserError, match=r"a tensor of floats \(n, 3, 7, 5\).*to_float"):
            net(x)
    with pytest.raises(UserError, match="no such level; got a"):
        net(torch.zeros(2, 3, 7, 5), "a")
