"""Every task from its data to the answers of the exported network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nestnet
from codegen import tasks as twins
from codegen.graph import file as nestfile
from codegen.graph import reference
from codegen.tasks import Outcome
from nestnet import datasets, runs
from nestnet.cli.device_images import device_images
from nestnet.config import TrainConfig
from nestnet.datasets import Dataset, Split
from nestnet.tasks import with_data
from tests.support.exports import int8
from tests.support.nets import conv_bn

SIZE = 12
COUNTS = (96, 40)


@dataclass(frozen=True)
class Case:
    """Data of a task, a small network for it, and what that must reach."""

    task: str
    data: Callable[[], Dataset]
    net: Callable[[], nn.Module]
    score: float
    settings: TrainConfig


def images_with_squares(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy images (n, h, w, 1), and boxes (n, 1, 4) of a bright or dark square in each."""
    random = np.random.default_rng(seed)
    images = random.integers(110, 146, (count, SIZE, SIZE, 1))
    corners = random.integers(0, SIZE - 4, (count, 2))
    bright = random.integers(0, 2, count)
    for image, (y, x), is_bright in zip(images, corners, bright, strict=True):
        image[y : y + 4, x : x + 4] = 230 if is_bright else 25
    boxes = np.concatenate([bright[:, None], corners[:, ::-1], corners[:, ::-1] + 4], axis=1)
    return images.astype(np.uint8), boxes.astype(np.float32)[:, None]


def dataset(
    task: str, names: tuple[str, ...], answers: Callable[[np.ndarray], np.ndarray]
) -> Dataset:
    """Return squares with the targets that ``answers`` makes of their boxes."""
    splits = []
    for seed, count in enumerate(COUNTS):
        images, boxes = images_with_squares(count, seed)
        splits.append(Split(images, answers(boxes)))
    return Dataset("squares", "squares", splits[0], splits[1], names, "none", task=task)


def masks(boxes: np.ndarray) -> np.ndarray:
    """Return which square lies at each position; the border counts for nothing."""
    found = np.zeros((len(boxes), SIZE, SIZE), np.uint8)
    for mask, (kind, x1, y1, x2, y2) in zip(found, boxes[:, 0].astype(int), strict=True):
        mask[y1:y2, x1:x2] = 1 + kind
    found[:, 0] = 255
    return found


def kinds_alike(boxes: np.ndarray) -> np.ndarray:
    """Return where a square lies; the border counts for nothing."""
    found = masks(boxes)
    return np.where(found == 255, found, np.minimum(found, 1)).astype(np.uint8)


def marks(boxes: np.ndarray) -> np.ndarray:
    """Return whether the square is bright, and whether it is in the upper half."""
    upper = boxes[:, 0, 2] < SIZE / 2 - 2
    return np.stack([boxes[:, 0, 0] > 0, upper], axis=1).astype(np.uint8)


class Pooled(nn.Module):
    """A few convolutions, then a vector; channels that know where they are."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(1, 12), nn.MaxPool2d(2), conv_bn(12, 16))
        self.head = nn.Linear(16 * 9, count)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.body(x).flatten(1))
        return found


def flat(channels: int) -> nn.Module:
    """Return a network whose map is as large as the image."""
    layers = [nn.Conv2d(1, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU()]
    layers += [nn.Conv2d(12, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(12, channels, 1))


def coarse(channels: int) -> nn.Module:
    """Return a network whose map has cells of 3x3."""
    body = [nn.Conv2d(1, 16, 5, stride=3, padding=2, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(
        *body, nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, channels, 1)
    )


def usual(boxes: np.ndarray) -> np.ndarray:
    """Return that bright squares are odd."""
    return boxes[:, 0, 0].astype(np.int64)


ADAM = TrainConfig(optimizer="adamw", lr=1e-2, batch=16, epochs=14, sparsity=(0.5, 0.2))
KINDS = ("nothing", "dark", "bright")
CASES = [
    Case("segmentation", lambda: dataset("segmentation", KINDS, masks), lambda: flat(3), 0.8, ADAM),
    Case(
        "segmentation",
        lambda: dataset("segmentation", KINDS[:2], kinds_alike),
        lambda: flat(1),
        0.8,
        ADAM,
    ),
    Case(
        "multi_label",
        lambda: dataset("multi_label", ("bright", "upper"), marks),
        lambda: Pooled(2),
        0.8,
        ADAM,
    ),
    Case(
        "multi_label",
        lambda: dataset("classification", ("dark", "bright"), usual),
        lambda: Pooled(1),
        0.9,
        ADAM,
    ),
    Case(
        "regression",
        lambda: dataset("regression", ("x", "y"), lambda boxes: boxes[:, 0, 1:3] * 100 + 7),
        lambda: Pooled(2),
        0.6,
        ADAM,
    ),
    Case(
        "heat_map",
        lambda: dataset("detection", KINDS[1:], lambda boxes: boxes),
        lambda: coarse(3),
        0.6,
        ADAM,
    ),
    Case(
        "anomaly",
        lambda: dataset("classification", ("normal", "bright"), usual),
        lambda: flat(1),
        0.6,
        ADAM,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{i}-{c.task}" for i, c in enumerate(CASES)])
def test_a_task_is_trained_exported_and_answered(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = case.data()
    monkeypatch.setattr(datasets, "of", lambda *_: data)
    torch.manual_seed(1)
    net = case.net()
    run = nestnet.train(case.settings, module=net, task=case.task, out=tmp_path, quiet=True)
    graph = nestfile.load(run / runs.MODEL)
    assert graph.task is not None and graph.task.name == case.task
    twin = twins.of(graph)
    assert twin is not None
    found = nestnet.evaluate(run, module=net)
    assert len(found) == 2
    config = nestnet.config.load(run / runs.CONFIG)
    task, _ = with_data(config)
    targets = task.targets(data.test).numpy()
    for level, stored in enumerate(graph.levels):
        inputs = (int8(data.test.images),)
        outcome = Outcome(graph, level, inputs, reference.run(graph, inputs, level))
        score = twin.score(outcome, targets)
        assert stored.accuracy_quantized is not None and stored.accuracy_float is not None
        assert abs(score - stored.accuracy_quantized) < 0.05
        assert score > (case.score if level else 0.5 * case.score)
        known, unknown = (twin.details(outcome, each) for each in (targets, None))
        assert set(known) == set(unknown)
        assert all(len(row) == len(known["rows"][0]) for row in known["rows"])
    answers = twin.answers(graph, inputs[0][0])
    assert len(twin.as_json(graph, answers)) == 2 and all(answer.text for answer in answers)
    drawn = twin.picture(graph, data.test.images[0], answers[-1])
    assert (drawn is None) == (case.task in ("multi_label", "regression"))
    images = device_images(run / runs.MODEL, 7)
    assert images.targets is not None and len(images.targets) == 7
