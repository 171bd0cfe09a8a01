"""What cannot be exported is refused before the first epoch, and refusing costs nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nestnet
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph import reference
from codegen.graph.ops.linear import Linear
from nestnet import datasets
from nestnet.config import TrainConfig
from nestnet.frontend.tracing import trace
from nestnet.net.network import predict
from nestnet.net.quantize import quantize
from nestnet.training import session
from nestnet.training.rehearsal import rehearse

SETTINGS = {"dataset": "digits", "sparsity": (0.8, 0.5), "epochs": 4, "quiet": True}


def body(*head: nn.Module, **first: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 7, **{"kernel_size": 3, **first}), nn.ReLU(), nn.Conv2d(7, 11, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), *head,
    )  # fmt: skip


class OwnPadding(nn.Module):
    """A 1 x 1 convolution with padding, on a line of the user's own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 5, 1)
        self.head = nn.Linear(5, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.conv2d(x, self.first.weight, self.first.bias, padding=1)
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


EXTENT = r"kernel and stride are at most 65535.*nothing has been trained yet"
LATE: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "padding": (lambda: body(nn.Linear(11, 10), kernel_size=1, padding=1),
                r"module '0'.*padding that is not smaller than the kernel.*\(1, 1\).*Lower"),
    "padding, own line": (OwnPadding, r"test_rehearsal\.py:\d+.*padding that is not smaller"),
    "stride": (lambda: nn.Sequential(nn.Conv2d(1, 7, 5), nn.ReLU(),
                                     nn.Conv2d(7, 11, (3, 4), (65537, 1)),
                                     nn.Flatten(), nn.Linear(11, 10)), EXTENT),
    "pool": (lambda: nn.Sequential(nn.MaxPool2d(2, 65537), *body(nn.Linear(11, 10), padding=2)),
             EXTENT),
}  # fmt: skip
"""Padding is refused by tracing already; strides by the rules of the integer graph alone."""


@pytest.mark.parametrize("case", LATE)
def test_refused_before_the_first_epoch(case: str, tmp_path: Path) -> None:
    build, message = LATE[case]
    with pytest.raises(UserError, match=message):
        nestnet.train(module=build(), out=tmp_path, **SETTINGS)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def many_classes(
    monkeypatch: pytest.MonkeyPatch, count: int, names: tuple[str, ...] | None = None
) -> None:
    """Let the digits have ``count`` classes, most of them without an image."""
    load = datasets.load

    def loaded(*arguments: object) -> datasets.Dataset:
        data = load(*arguments)  # type: ignore[arg-type]
        return replace(data, class_names=names or tuple(str(i) for i in range(count)))

    monkeypatch.setattr(datasets, "load", loaded)


class Softmax(nn.Module):
    """A head of ``count`` classes with a softmax on a line of its own."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.body = body(nn.Linear(11, count))

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        return torch.softmax(x, 1)


def test_a_wide_softmax_is_refused_with_its_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    many_classes(monkeypatch, 1031)
    message = r"test_rehearsal\.py:\d+.*softmax over too many channels; got 1031.*Remove"
    with pytest.raises(UserError, match=message):
        nestnet.train(module=Softmax(1031), out=tmp_path, **SETTINGS)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_too_many_outputs_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    many_classes(monkeypatch, 65537)
    with pytest.raises(UserError, match=r"output: too large; got 1 x 1 x 65537.*fewer classes"):
        nestnet.train(module=body(nn.Linear(11, 65537)), out=tmp_path, **SETTINGS)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_class_names_that_are_no_text_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = (*(f"class {i}" for i in range(9)), "caf\udce9")
    many_classes(monkeypatch, 10, names)
    with pytest.raises(UserError, match=r"class 9: its name is not text; got caf\\udce9"):
        nestnet.train(module=body(nn.Linear(11, 10)), out=tmp_path, **SETTINGS)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_broken_rules_name_the_users_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever rule of the graph a network breaks, it is found and located."""
    monkeypatch.setattr("codegen.graph.window.MAX_TAPS", 8)
    with pytest.raises(UserError, match=r"layer 'body\.0': the integer.*nothing has been trained"):
        nestnet.train(module=Softmax(10), out=tmp_path, **SETTINGS)  # type: ignore[arg-type]


@pytest.mark.parametrize("flash_bytes", [0, 4000])
def test_a_rehearsal_changes_nothing(flash_bytes: int) -> None:
    config = TrainConfig(flash_bytes=flash_bytes, init_from="")
    prepared = session.prepare(config, True)
    before = {name: tensor.clone() for name, tensor in prepared.network.state_dict().items()}
    modes = [module.training for module in prepared.network.modules()]
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
    rehearse(prepared)
    after = prepared.network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert modes == [module.training for module in prepared.network.modules()]
    assert not prepared.network.quantize
    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [10_007, 20_011])
def test_heads_with_many_inputs_fit_int32(width: int, tmp_path: Path) -> None:
    """Equal weights make the largest sums there are: all would be 127 steps."""
    head = nn.Linear(7 * width, 3)
    with torch.no_grad():
        head.weight.fill_(1e-3)
    net = trace(nn.Sequential(nn.ReLU(), nn.Flatten(), head), (7, width, 1))
    images = np.random.default_rng(0).integers(200, 256, (3, 7, width, 1), dtype=np.uint8)
    quantize(net, images)
    graph = nestfile.load(nestnet.export(net, tmp_path / "wide.nestnet"))
    got = reference.run_one(graph, (images.astype(np.int16) - 128).astype(np.int8), 0).reshape(3, 3)
    wanted = predict(net, images, 0) / graph.only_output.scale[0]
    assert np.abs(got - wanted).max() <= 1
    assert wanted.min() > 100
    net.set_quantize(False)
    plain = predict(net, images, 0) / graph.only_output.scale[0]
    assert np.abs(got - plain).max() <= 3


@pytest.mark.parametrize(("first", "span"), [((), 128), ((nn.ReLU(),), 255)], ids=["0", "-128"])
def test_weights_are_as_fine_as_the_zero_point_allows(
    first: tuple[nn.Module, ...], span: int, tmp_path: Path
) -> None:
    head = nn.Linear(140_077, 3)
    with torch.no_grad():
        head.weight.fill_(1e-3)
    net = trace(nn.Sequential(*first, nn.Flatten(), head), (7, 20_011, 1))
    images = np.random.default_rng(0).integers(200, 256, (3, 7, 20_011, 1), dtype=np.uint8)
    quantize(net, images)
    graph = nestfile.load(nestnet.export(net, tmp_path / "wide.nestnet"))
    (op,) = (op for op in graph.ops if isinstance(op, Linear))
    largest = np.abs(op.weight.astype(np.int64)).sum(axis=1).max() * span
    assert 0.98 * 2**31 < largest < 2**31


class Residual(nn.Module):
    """relu(x + conv(x)), where the convolution takes away all of x but ``rest``."""

    def __init__(self, rest: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 1, bias=False)
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.head = nn.Linear(3, 5)
        with torch.no_grad():
            self.first.weight.copy_(torch.eye(3).view(3, 3, 1, 1))
            self.conv.weight.copy_((rest - 1) * torch.eye(3).view(3, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.head(torch.relu(x + self.conv(x)).mean((2, 3)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("rest", [0.5, 1 / 50, 1 / 100, 1e-5])
def test_a_sum_may_be_much_smaller_than_its_residual(rest: float, tmp_path: Path) -> None:
    net = trace(Residual(rest), (7, 5, 3))
    net.set_levels(2)
    images = np.random.default_rng(0).integers(0, 256, (11, 7, 5, 3), dtype=np.uint8)
    quantize(net, images)
    graph = nestfile.load(nestnet.export(net, tmp_path / "sum.nestnet"))
    names = {op.name: op for op in graph.ops}
    ratio = graph.value(names["first"].output).scale[0] / graph.value(names["conv"].output).scale[0]
    assert ratio <= 63.001 and (ratio < 60) == (rest > 1 / 50)
    for level in range(2):
        pixels = (images.astype(np.int16) - 128).astype(np.int8)
        got = reference.run_one(graph, pixels, level).reshape(11, 5)
        wanted = predict(net, images, level) / graph.only_output.scale[level]
        assert np.abs(got - wanted).max() <= 2
