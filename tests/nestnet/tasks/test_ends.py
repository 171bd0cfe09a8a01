"""Which functions a network of each task may end in, and what is trained on then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import nestnet
from codegen.errors import UserError
from codegen.graph import file as nestfile
from nestnet import datasets, tasks
from nestnet.config import TrainConfig
from nestnet.datasets import Dataset, Split
from nestnet.net.stages import Bound
from nestnet.training.session import Session, prepare
from tests.support.nets import conv_bn

SIGMOID = ((Bound("sigmoid", 0.0, 1.0),),)
SOFTMAX = ((Bound("softmax", 0.0, 1.0),),)
SIZE = (7, 5)


@pytest.mark.parametrize("name", tasks.names())
def test_what_reads_logits_refuses_a_sigmoid_before_anything_is_trained(name: str) -> None:
    task = tasks.of(name)
    bounds = SIGMOID * 2
    task.check_ends("net", ((None,), (None,)))
    if name in ("regression", "anomaly"):
        task.check_ends("net", bounds)
        return
    with pytest.raises(UserError, match=rf"^net: .*ends in a sigmoid.*{name}.*Leave the sigmoid"):
        task.check_ends("net", bounds)


@pytest.mark.parametrize("name", tasks.names())
def test_a_softmax_may_stand_where_only_the_order_counts(name: str) -> None:
    if name in ("classification", "segmentation"):
        tasks.of(name).check_ends("net", SOFTMAX)
        return
    with pytest.raises(UserError, match=r"ends in a softmax.*Leave the softmax out"):
        tasks.of(name).check_ends("net", SOFTMAX * 2)


def test_a_detector_may_bound_its_distances() -> None:
    tasks.of("detection").check_ends("net", ((None,), *SIGMOID))


def data(low: float, high: float) -> Dataset:
    """Return images with two numbers each, from ``low`` to ``high``."""
    random = np.random.default_rng(0)
    splits = []
    for count in (31, 13):
        images = random.integers(0, 256, (count, *SIZE, 1)).astype(np.uint8)
        bright = images.mean(axis=(1, 2, 3)) / 255
        numbers = np.stack([bright, np.linspace(0, 1, count)], 1) * (high - low) + low
        splits.append(Split(images, numbers.astype(np.float32)))
    return Dataset("own", "own", *splits, ("bright", "place"), "none", task="regression")


def net(last: nn.Module) -> nn.Module:
    """Return a network of two numbers."""
    torch.manual_seed(0)
    return nn.Sequential(
        conv_bn(1, 5), conv_bn(5, 7), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 2), last
    )


def prepared(
    monkeypatch: pytest.MonkeyPatch, found: Dataset, module: nn.Module, **settings: object
) -> Session:
    """Return the training of ``module`` on ``found``."""
    monkeypatch.setattr(datasets, "of", lambda *_: found)
    config = TrainConfig(dataset="own", sparsity=(0.0,), **settings)  # type: ignore[arg-type]
    return prepare(config, True, module)


def test_numbers_of_a_sigmoid_are_learned_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by their mean and deviation, half of which no sigmoid can reach."""
    session = prepared(monkeypatch, data(0.05, 0.95), net(nn.Sigmoid()))
    exact = torch.tensor([[0.25, 0.75]])
    images = torch.zeros(1, 1, *SIZE)
    assert torch.equal(session.task.answers(exact, images), exact)
    assert float(session.task.loss([exact], exact, images, session.config)) == 0
    plain = prepared(monkeypatch, data(0.05, 0.95), net(nn.Identity()))
    assert not torch.equal(plain.task.answers(exact, images), exact)


@pytest.mark.parametrize("last", [nn.Sigmoid(), nn.Hardsigmoid(), nn.Tanh()], ids=repr)
def test_numbers_that_a_function_never_reaches_are_refused(
    last: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"never gets as far as the training targets.*-2.*\.\.7"):
        prepared(monkeypatch, data(-2.0, 7.0), net(last))


class TwoEnds(nn.Module):
    """A sigmoid for one number alone."""

    def __init__(self) -> None:
        super().__init__()
        self.body = net(nn.Identity())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)
        return torch.cat([torch.sigmoid(y[:, :1]), y[:, 1:]], 1)


def test_a_sigmoid_of_some_numbers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"different functions; got .*sigmoid"):
        prepared(monkeypatch, data(0.0, 1.0), TwoEnds())


def autoencoder() -> nn.Module:
    """Return a network that gives the image back, in 0..1."""
    torch.manual_seed(0)
    return nn.Sequential(conv_bn(1, 7, padding=1), nn.Conv2d(7, 1, 1), nn.Sigmoid())


def test_an_image_given_back_has_the_bounds_of_what_is_fed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = data(0.0, 1.0)
    labels = [replace(each, targets=np.zeros(len(each.images), np.int64))
              for each in (plain.train, plain.test)]  # fmt: skip
    found = replace(plain, train=labels[0], test=labels[1], class_names=("good",), task="anomaly")
    with pytest.raises(UserError, match=r"never gets as far as.*expected 0\.\.1.*--mean 0 --std 1"):
        prepared(monkeypatch, found, autoencoder())
    with pytest.raises(UserError, match=r"^mean and std: .*on different scales; got \(pixel - 104"):
        prepared(monkeypatch, found, conv_bn(1, 1, padding=1), mean=(0.41,), std=(0.3,))
    assert (
        prepared(monkeypatch, found, autoencoder(), mean=(0.0,), std=(1.0,)).task.name == "anomaly"
    )


def test_a_classifier_with_a_sigmoid_is_refused_before_a_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = data(0.0, 1.0)
    labels = [replace(each, targets=np.arange(len(each.images)) % 2)
              for each in (plain.train, plain.test)]  # fmt: skip
    found = replace(plain, train=labels[0], test=labels[1], task="classification")
    monkeypatch.setattr(datasets, "of", lambda *_: found)
    with pytest.raises(
        UserError, match=r"ends in a sigmoid.*classification.*got outputs in 0\.\.1"
    ):
        nestnet.train(
            module=net(nn.Sigmoid()), out=tmp_path / "runs", quiet=True, sparsity=(0.0,), epochs=1
        )
    assert not (tmp_path / "runs").exists()


def test_a_trained_sigmoid_answers_in_the_units_of_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = data(0.0, 1.0)
    monkeypatch.setattr(datasets, "of", lambda *_: found)
    run = nestnet.train(
        module=net(nn.Sigmoid()), out=tmp_path / "runs", quiet=True, sparsity=(0.5, 0.0),
        epochs=2, batch=8, split=(0.0, 0.0, 0.5, 0.5),
    )  # fmt: skip
    graph = nestfile.load(run / "model.nestnet")
    assert graph.task is not None
    assert graph.task.numbers("offset") == (0.0, 0.0)
    assert set(graph.task.numbers("step")) == {graph.only_output.scale[0]}
