"""What moves the weights: the optimizer, the average of where they were, a task's defaults."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import nestnet
from codegen.errors import UserError
from nestnet import config, tasks
from nestnet.config import TrainConfig
from nestnet.net.network import NestedNet
from nestnet.tasks.classification import Classification
from nestnet.training.optimizer import Averaged, load_state, optimizer_of, state_by_name


def _network() -> NestedNet:
    torch.manual_seed(3)
    module = nn.Sequential(
        nn.Conv2d(1, 5, 3),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.Conv2d(5, 3, 3),
        nn.Flatten(),
        nn.Linear(3, 7),
    )
    return nestnet.nest(module, (5, 5, 1), sparsity=(0.5, 0.0))


def test_an_average_is_the_weighted_mean_of_the_steps() -> None:
    """Its first steps forget the start faster; statistics are averaged like weights."""
    network = _network()
    average = Averaged(network, 0.75)
    norm = next(m for m in network.modules() if hasattr(m, "running_mean"))
    expected = norm.running_mean.clone()
    for step in range(40):
        with torch.no_grad():
            norm.running_mean.fill_(step)
            network.get_parameter("body.5.bias").fill_(2 * step)
        average.follow(step)
        kept = min(0.75, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * step
    with average.shown():
        assert torch.allclose(norm.running_mean, expected)
        assert float(norm.running_mean[0, 0]) == pytest.approx(39 - 3, abs=0.01)
        assert float(network.get_parameter("body.5.bias").detach()[0]) == pytest.approx(
            72, abs=0.02
        )
        norm.running_mean.zero_()
    assert torch.equal(norm.running_mean, torch.full_like(expected, 39))
    average.settle()
    assert torch.equal(norm.running_mean, torch.zeros_like(expected)), "changed while shown"


def test_an_average_goes_on_from_its_state() -> None:
    one, other = _network(), _network()
    first, second = Averaged(one, 0.9), Averaged(other, 0.9)
    with torch.no_grad():
        one.get_parameter("body.5.bias").fill_(7)
    first.follow(0)
    second.restore({name: value.clone() for name, value in first.state().items()})
    second.settle()
    first.settle()
    for mine, its in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, its)


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_an_optimizer_decays_weights_alone_and_goes_on_from_its_state(
    name: str, kind: type[torch.optim.Optimizer]
) -> None:
    settings = TrainConfig(optimizer=name, lr=0.01, weight_decay=0.25)
    networks = _network(), _network()
    first, second = (optimizer_of(network, settings) for network in networks)
    assert isinstance(first, kind)
    assert [group["weight_decay"] for group in first.param_groups] == [0.25, 0.0]
    assert all(p.dim() > 1 for p in first.param_groups[0]["params"])

    def step(optimizer: torch.optim.Optimizer, network: NestedNet) -> None:
        network.eval()
        optimizer.zero_grad()
        network.logits(torch.ones(2, 1, 5, 5)).square().sum().backward()
        optimizer.step()

    step(first, networks[0])
    networks[1].load_state_dict(networks[0].state_dict())
    load_state(second, networks[1], state_by_name(first, networks[0]))
    for optimizer, network in zip((first, second), networks, strict=True):
        step(optimizer, network)
    for mine, its in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.equal(mine, its)


@pytest.mark.parametrize("wrong", [
    {"ema": 1.0}, {"ema": -0.1}, {"clip": -1.0}, {"warmup": 1.0}, {"lr_end": 1.1},
    {"optimizer": "adam"},
])  # fmt: skip
def test_wrong_settings_are_refused(wrong: dict[str, float | str]) -> None:
    with pytest.raises(UserError, match=f"config key {next(iter(wrong))!r}"):
        TrainConfig(**wrong)  # type: ignore[arg-type]


def test_a_task_brings_defaults_that_anything_given_overrides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        Classification,
        "defaults",
        lambda self, given: {"optimizer": "adamw", "ema": 0.998 if given.is_dense else 0.99},
    )
    dense = config.chosen({"sparsity": 0.0}, None, tasks.defaults)
    assert (dense.optimizer, dense.ema, dense.lr) == ("adamw", 0.998, TrainConfig().lr)
    nested = config.chosen({"optimizer": "sgd"}, None, tasks.defaults)
    assert (nested.optimizer, nested.ema) == ("sgd", 0.99)
    assert config.chosen({"sparsity": 0.0}) == TrainConfig(sparsity=(0.0,))
