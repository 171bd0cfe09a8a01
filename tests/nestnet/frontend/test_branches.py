"""Parallel convolutions of one tensor that are added become one."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import nestnet
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph import reference
from codegen.graph.ops.conv2d import Conv2D as GraphConv2D
from nestnet import datasets
from nestnet.cli.main import app
from nestnet.config import TrainConfig
from nestnet.datasets import Dataset, Split
from nestnet.frontend.tracing import trace
from nestnet.net.network import NestedNet, predict
from nestnet.net.ops.conv2d import Conv2D
from nestnet.notices import Notice
from nestnet.training.phases import measure_statistics
from tests.support.exports import int8

SHAPE = (7, 11, 3)


class Branch(nn.Sequential):
    """Convolution and batch norm that has seen something."""

    def __init__(self, i: int, o: int, kernel: int | tuple[int, int], **options: object) -> None:
        super().__init__(nn.Conv2d(i, o, kernel, **options), lively(nn.BatchNorm2d(o)))  # type: ignore[arg-type]


def lively(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """Return ``norm`` with values that all differ."""
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            assert tensor is not None
            tensor.uniform_(0.3, 1.7)
    return norm


class Block(nn.Module):
    """The sum of some branches, then ReLU."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        y = self.branches[0](x)
        for branch in self.branches[1:]:
            y = y + branch(x)
        return torch.relu(y)


def plain(o: int, kernel: int, padding: int) -> nn.Module:
    return nn.Conv2d(5, o, kernel, padding=padding)


BLOCKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "3x3, 1x1, identity": (
        lambda: Block(
            lively(nn.BatchNorm2d(5)), Branch(5, 5, 1, bias=False), Branch(5, 5, 3, padding=1)
        ),
        5,
    ),
    "stride 2": (lambda: Block(Branch(5, 7, 1, stride=2), Branch(5, 7, 3, stride=2, padding=1)), 7),
    "grouped": (
        lambda: Block(
            Branch(6, 6, 3, padding=1, groups=3, bias=False),
            Branch(6, 6, 1, groups=3),
            lively(nn.BatchNorm2d(6)),
        ),
        6,
    ),
    "depthwise, several of a kind": (
        lambda: Block(
            lively(nn.BatchNorm2d(5)),
            Branch(5, 5, 1, groups=5),
            *(Branch(5, 5, 3, padding=1, groups=5, bias=False) for _ in range(3)),
        ),
        5,
    ),
    "1x3, 3x1, 3x3": (
        lambda: Block(
            Branch(5, 7, (1, 3), padding=(0, 1)),
            Branch(5, 7, (3, 1), padding=(1, 0)),
            Branch(5, 7, 3, padding=1),
        ),
        7,
    ),
    "5x5 and 3x3, less padding": (
        lambda: Block(Branch(5, 7, 5, padding=1), Branch(5, 7, 3)),
        7,
    ),
    "without batch norm": (lambda: Block(plain(7, 3, 1), plain(7, 1, 0)), 7),
}


class Net(nn.Module):
    """A layer, a block, a head."""

    def __init__(self, make: Callable[[], nn.Module], channels: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.block = make()
        first = next(part for part in self.block.modules() if isinstance(part, nn.Conv2d))
        self.stem = nn.Conv2d(3, first.in_channels, 3, padding=1)
        self.head = nn.Linear(channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.block(torch.relu(self.stem(x))).mean((2, 3)))
        return y


def convolutions(net: NestedNet) -> list[Conv2D]:
    return [step.stage for step in net.steps if isinstance(step.stage, Conv2D)]


@pytest.mark.parametrize(("make", "channels"), BLOCKS.values(), ids=BLOCKS)
def test_a_sum_of_branches_is_one_convolution_of_the_same_function(
    make: Callable[[], nn.Module], channels: int
) -> None:
    """In evaluation mode; trace itself compares values of its own."""
    module = Net(make, channels).eval()
    net = trace(module, SHAPE, reparameterize=True).eval()
    _, block = convolutions(net)
    assert block.is_merged and block.residual is None and block.act.lo == 0
    x = torch.rand(3, 3, *SHAPE[:2], dtype=torch.float64) * 4 - 2
    with torch.no_grad():
        wanted = copy.deepcopy(module).double()(x)
        got = copy.deepcopy(net).double()(x)
    assert float((got - wanted).abs().max()) < 1e-5 * float(wanted.abs().max())


def test_branches_are_left_with_a_notice_unless_it_is_said(
    recwarn: pytest.WarningsRecorder,
) -> None:
    module = Net(*BLOCKS["3x3, 1x1, identity"])
    kept = trace(module, SHAPE)
    (said,) = [str(each.message) for each in recwarn if "sums of conv" in str(each.message)]
    assert "'block.branches.0' + 'block.branches.1.0' + 'block.branches.2.0'" in said
    saved = 7 * 11 * (5 * 5 + 5)
    stem, head, units = 7 * 11 * 3 * 5 * 9, 5 * 3, 7 * 11 * 5
    every = stem + head + units + 7 * 11 * (5 * 5 + 5 * 5 * 9)
    assert f"{saved} multiply-accumulates of {every} less" in said
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        assert len(convolutions(trace(module, SHAPE, reparameterize=False))) == 4
        merged = trace(module, SHAPE, reparameterize=True)
    assert len(convolutions(kept)) == 4 and len(convolutions(merged)) == 2


class Other(nn.Module):
    """Sums that are no parallel branches, and one that is a part of a sum."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.a, self.b = Branch(3, 5, 3, padding=1), Branch(3, 5, 1)
        self.c = Branch(5, 5, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x), self.b(x)
        if self.form == "between":
            return torch.relu(a) + b
        if self.form == "read twice":
            return self.c(a) + (a + b)
        if self.form == "scaled":
            return torch.add(a, b, alpha=2)
        if self.form == "one after the other":
            return self.c(a) + self.c_of(b)
        raise AssertionError

    def c_of(self, b: Tensor) -> Tensor:
        return b


@pytest.mark.parametrize("form", ["between", "read twice", "scaled", "one after the other"])
def test_what_is_not_linear_in_one_tensor_is_left(form: str) -> None:
    net = trace(Other(form), SHAPE, reparameterize=True)
    assert not any(conv.is_merged for conv in convolutions(net))


class Skipping(Block):
    """Branches, and the input as it is."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.branches[0](x) + self.branches[1](x) + x)


def test_an_input_that_is_added_as_it_is_stays_a_residual() -> None:
    net = trace(
        Net(lambda: Skipping(Branch(5, 5, 3, padding=1), Branch(5, 5, 1)), 5),
        SHAPE,
        reparameterize=True,
    )
    _, block = convolutions(net)
    assert block.is_merged and block.residual == block.input


def test_statistics_measured_on_images_change_little() -> None:
    """The merged batch norm begins where its images lead: a mean that is known, and a variance."""
    module = Net(*BLOCKS["3x3, 1x1, identity"])
    x = torch.randn(64, 3, *SHAPE[:2])
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None  # the images' own
            part.reset_running_stats()
    with torch.no_grad():
        module.train()(x)
    net = trace(module.eval(), SHAPE, reparameterize=True)
    norm = next(step.norm for step in net.steps if step.norm is not None)
    mean, var = norm.running_mean.clone(), norm.running_var.clone()
    batch = (x, torch.zeros(len(x), dtype=torch.long))
    measure_statistics(net, [batch])
    assert torch.allclose(norm.running_mean, mean, atol=1e-4)
    assert bool((norm.running_var / var).log().abs().max() < 1.5)


def test_frozen_branches_stay_frozen() -> None:
    module = Net(*BLOCKS["stride 2"])
    for value in module.block.parameters():
        value.requires_grad_(False)
    for frozen in (True, False):
        step = next(s for s in trace(module, SHAPE, reparameterize=True).steps if s.norm)
        assert step.layer is not None and step.norm is not None
        assert step.layer.weight.requires_grad is not frozen
        assert step.norm.weight[0].requires_grad is step.norm.bias[0].requires_grad is not frozen
        for value in module.block.parameters():
            value.requires_grad_(True)


@pytest.mark.parametrize("block", ["grouped", "stride 2"])
def test_the_exported_levels_are_those_of_the_trained_network(block: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (31, *SHAPE), dtype=np.uint8)
    net = nestnet.nest(
        nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), Net(*BLOCKS[block])),
        SHAPE, sparsity=(0.5, 0.2), reparameterize=True,
    )  # fmt: skip
    nestnet.quantize(net.eval(), pixels)
    graph = nestfile.load(nestnet.export(net, tmp_path / "x.nestnet"))
    y = graph.only_output
    for level in range(2):
        (found,) = reference.run(graph, (int8(pixels),), level)
        real = (found.reshape(len(pixels), -1).astype(np.float64) - y.zero_point) * y.scale[level]
        assert np.abs(real - predict(net, pixels, level)).max() <= y.scale[level] * 1.01


def test_a_state_loads_into_the_same_network_again() -> None:
    first = trace(Net(*BLOCKS["grouped"]), SHAPE, reparameterize=True)
    second = trace(Net(*BLOCKS["grouped"]), SHAPE, reparameterize=True)
    with torch.no_grad():
        for value in first.parameters():
            value.mul_(1.5)
    second.load_state_dict(first.state_dict())
    x = torch.rand(2, 3, *SHAPE[:2])
    assert torch.equal(first.eval()(x), second.eval()(x))


def test_a_run_of_merged_branches_is_evaluated_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    splits = [
        Split(random.integers(0, 256, (n, *SHAPE), dtype=np.uint8), np.arange(n) % 3)
        for n in (31, 13)
    ]
    found = Dataset("own", "own", *splits, ("a", "b", "c"), "none")
    monkeypatch.setattr(datasets, "of", lambda *_: found)
    settings = TrainConfig(
        dataset="own", sparsity=(0.5, 0.2), epochs=2, batch=8, split=(0.0, 0.0, 0.5, 0.5),
        reparameterize="on",
    )  # fmt: skip
    run = nestnet.train(
        settings, module=Net(*BLOCKS["stride 2"]), out=tmp_path / "runs", quiet=True
    )
    levels = nestnet.evaluate(run, module=Net(*BLOCKS["stride 2"]))
    graph = nestfile.load(run / "model.nestnet")
    assert sum(isinstance(op, GraphConv2D) for op in graph.ops) == 2
    assert [level.accuracy_quantized for level in graph.levels] == [
        level.accuracy_quantized for level in levels
    ]


@pytest.mark.parametrize(("flag", "value"), [
    ("--reparameterize", "on"), ("--no-reparameterize", "off"),
])  # fmt: skip
def test_the_command_line_says_it_too(
    flag: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[TrainConfig] = []

    def train(config: TrainConfig, **_: object) -> None:
        seen.append(config)
        raise UserError("here", "enough", got=1, expected=1, action="Stop")

    monkeypatch.setattr(nestnet, "train", train)
    CliRunner().invoke(app, ["train", flag])
    assert [config.reparameterize for config in seen] == [value]


def test_a_configuration_from_before_leaves_branches() -> None:
    assert TrainConfig().reparameterize == "auto"
