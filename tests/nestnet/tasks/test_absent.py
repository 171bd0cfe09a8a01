"""Of a class that is not there, nothing is measured: it is neither 0 nor 1."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from codegen import tasks as twins
from codegen.tasks import Outcome
from nestnet import tasks
from nestnet.cli.tables import _plain
from nestnet.datasets import Dataset, Split
from nestnet.tasks._task import Result
from tests.support.firmware.tasks import NETWORKS

NAMES = ("a", "b", "c")


def reported(task: str, answers: torch.Tensor, targets: np.ndarray) -> object:
    split = Split(np.zeros((len(targets), 4, 4, 1), np.uint8), targets)
    data = Dataset("own", "own", split, split, NAMES, "none", task=task)
    result = Result(0, 0.0, 0.0, 0.0)
    return tasks.of(task).report(result, answers, torch.from_numpy(targets), data)


def test_masks_without_a_class() -> None:
    targets = np.array([[[0, 0], [1, 255]]], np.uint8)
    found = reported("segmentation", torch.tensor([[[0, 1], [1, 2]]]), targets)
    assert found.iou_of == pytest.approx({"a": 1 / 2, "b": 1 / 2, "c": None})  # type: ignore[attr-defined]
    assert found.dice_of == pytest.approx({"a": 2 / 3, "b": 2 / 3, "c": None})  # type: ignore[attr-defined]
    found = reported("segmentation", torch.tensor([[[0, 2], [1, 1]]]), targets)
    assert found.iou_of["c"] == 0, "said where it is not"  # type: ignore[attr-defined]


def test_labels_that_nothing_has() -> None:
    targets = np.array([[1, 0, 0], [1, 1, 0]], np.uint8)
    found = reported("multi_label", torch.tensor([[1, 0, 0], [0, 0, 0]]), targets)
    assert found.precision_of == {"a": 1.0, "b": None, "c": None}  # type: ignore[attr-defined]
    assert found.recall_of == {"a": 0.5, "b": 0.0, "c": None}  # type: ignore[attr-defined]
    assert found.f1_of == pytest.approx({"a": 2 / 3, "b": 0.0, "c": None})  # type: ignore[attr-defined]


def test_the_twins_say_nothing_of_it_either() -> None:
    graph = NETWORKS["a map per class"]()
    outputs = np.zeros((1, *graph.only_output.shape), np.int8)
    outputs[..., 1] = 9  # the second class, everywhere
    targets = np.ones((1, *graph.only_output.shape[:2]), np.uint8)
    outcome = Outcome(graph, 0, (), (outputs,))
    rows = twins.TASKS["segmentation"].details(outcome, targets)["rows"]
    assert [row["iou"] for row in rows] == [None, 1.0, None]
    graph = NETWORKS["labels"]()
    outcome = Outcome(graph, 0, (), (np.full((2, 1, 1, 5), 127, np.int8),))
    rows = twins.TASKS["multi_label"].details(outcome, np.zeros((2, 5), np.uint8))["rows"]
    assert rows[0]["precision"] == 0.0 and rows[0]["recall"] is None
    assert json.loads(json.dumps(rows)) == rows and _plain(rows[0]["recall"]) == "-"
