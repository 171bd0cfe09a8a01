"""Outputs that int8 cannot tell much about are named."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import nestnet
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph import reference
from codegen.graph.ops.lookup import Lookup
from nestnet.net.network import NestedNet, predict
from nestnet.notices import Notice
from tests.support.commands import nestnet as run_nestnet
from tests.support.exports import int8
from tests.support.nets import conv_bn

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


@pytest.mark.parametrize("end", [nn.Identity(), nn.Softmax(1), nn.LogSoftmax(1)])
def test_a_log_softmax_that_is_not_exported_is_spoken_of(end: nn.Module, tmp_path: Path) -> None:
    """When nested, before anything is trained, and when exported."""
    net = nn.Sequential(conv_bn(3, 11), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(11, 5))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", Notice)
        nested = nestnet.nest(net.append(end), SHAPE, sparsity=(0.0,))
        nestnet.export(nestnet.quantize(nested, PIXELS), tmp_path / "x.nestnet")
    told = [str(entry.message) for entry in said if "log_softmax" in str(entry.message)]
    assert len(told) == 2 * isinstance(end, nn.LogSoftmax)
    assert all("outputs are the logits" in text for text in told)


def test_a_single_output_is_shown_as_a_value(tmp_path: Path) -> None:
    """Its share of all outputs is 100 %, whatever it is."""
    net = nestnet.quantize(regressor(1.7), PIXELS)
    with pytest.warns(Notice, match="one output: its arg-max is always class 0"):
        nestnet.export(net, tmp_path / "one.nestnet")
    Image.fromarray(PIXELS[0]).save(tmp_path / "photo.png")
    done = run_nestnet(
        *("predict", "photo.png", "--run", "one.nestnet", "--c-array", "x.h", "--json", "x.json"),
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    real = float(predict(net, PIXELS[:1], 0)[0, 0])
    levels = json.loads((tmp_path / "x.json").read_text())["levels"]
    assert levels[0]["classes"][0]["value"] == pytest.approx(real, rel=0.02)
    assert "100" not in done.stdout and f"{levels[0]['classes'][0]['value']:.4g}" in done.stdout
    assert "class 0" not in (tmp_path / "x.h").read_text()


def test_a_sigmoid_at_the_end_is_a_table_that_is_spoken_of(tmp_path: Path) -> None:
    """It stays where no task is named, and is refused for one that reads logits."""
    layers = (
        conv_bn(3, 7),
        conv_bn(7, 11),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(11, 5),
    )
    with pytest.warns(Notice, match=r"ends in a sigmoid.*in 0..1.*BCEWithLogitsLoss would take"):
        net = nestnet.nest(nn.Sequential(*layers, nn.Sigmoid()), SHAPE, sparsity=(0.5, 0.0))
    nestnet.quantize(net, PIXELS)
    graph = nestfile.load(nestnet.export(net, tmp_path / "x.nestnet", task="regression"))
    assert isinstance(graph.ops[-1], Lookup)
    (found,) = reference.run(graph, (int8(PIXELS),), 1)
    y = graph.only_output
    real = (found.reshape(len(PIXELS), 5).astype(np.float64) - y.zero_point) * y.scale[1]
    np.testing.assert_allclose(real, predict(net, PIXELS, 1), atol=1e-6)
    assert 0 <= real.min() < real.max() <= 1
    for task in ("classification", "multi_label"):
        with pytest.raises(UserError, match=rf"sigmoid, and the loss of the task {task} does"):
            nestnet.export(net, tmp_path / "y.nestnet", task=task)
    assert not (tmp_path / "y.nestnet").exists()


def test_a_task_says_what_the_outputs_mean(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    layers = (conv_bn(3, 11), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(11, 1))
    net = nestnet.quantize(nestnet.nest(nn.Sequential(*layers), SHAPE, sparsity=0.0), PIXELS)
    graph = nestfile.load(nestnet.export(net, tmp_path / "one.nestnet", task="multi_label"))
    assert graph.task is not None and graph.task.name == "multi_label"
    assert graph.task.numbers("thresholds") == (graph.only_output.zero_point + 1,)
    assert not [str(each.message) for each in recwarn if "arg-max" in str(each.message)]
    with pytest.raises(UserError, match="no such task"):
        nestnet.export(net, tmp_path / "one.nestnet", task="multilabel")
    with pytest.raises(UserError, match=r"heat_map: .*got 1x1x1, expected one map of 2\.\.256"):
        nestnet.export(net, tmp_path / "map.nestnet", task="heat_map")
    assert not (tmp_path / "map.nestnet").exists()


class _Named(nn.Module):
    """Gives the image back; what it begins with is called as nestnet's own first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.normalize = nn.BatchNorm2d(3)
        self.body = nn.Sequential(conv_bn(3, 5, padding=1), nn.Conv2d(5, 3, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(torch.relu(self.normalize(x)))


def test_pixels_on_another_scale_than_the_output_are_no_anomaly(tmp_path: Path) -> None:
    net = nestnet.quantize(nestnet.nest(_Named(), SHAPE, sparsity=0.0), PIXELS)
    graph = nestfile.load(nestnet.export(net, tmp_path / "odd.nestnet", task="anomaly"))
    assert graph.task is not None and graph.ops[0].name == "normalize"
    other = nestnet.nest(_Named(), SHAPE, sparsity=0.0, mean=(0.4, 0.5, 0.6), std=(0.2,))
    with pytest.raises(UserError, match=r"^mean and std: .*different scales; got \(pixel - 102"):
        nestnet.export(nestnet.quantize(other, PIXELS), tmp_path / "odd.nestnet", task="anomaly")
