"""Targets that a task could not use are refused by name, before any training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from codegen.errors import UserError
from nestnet import tasks
from nestnet.datasets import Dataset
from tests.support.own_data import good, of_test, of_train

LABELS: list[tuple[str, Callable[[], Dataset], str]] = [
    (
        "int32",
        lambda: of_train(targets=good().train.targets.astype(np.int32)),
        r"train\.targets cannot be used; got int32 \(13,\), expected int64 \(n,\)",
    ),
    (
        "column",
        lambda: of_test(targets=good().test.targets[:, np.newaxis]),
        r"test\.targets cannot be used; got int64 \(7, 1\)",
    ),
    (
        "from one",
        lambda: of_train(targets=good().train.targets + 1),
        r"train\.targets lie outside class_names; got 1\.\.3, expected 0\.\.2 for 3 class names",
    ),
    ("negative", lambda: of_test(targets=good().test.targets - 1), r"test\.targets.*got -1\.\.1"),
    ("no classes", lambda: replace(good(), class_names=()), r"class_names is empty"),
]


@pytest.mark.parametrize(
    ("made", "message"), [case[1:] for case in LABELS], ids=[case[0] for case in LABELS]
)
def test_labels_that_are_none_are_refused(made: Callable[[], Any], message: str) -> None:
    tasks.of("classification").check_data(good())
    with pytest.raises(
        UserError, match=rf"^data 'own' as nestnet/datasets/own\.py reads it: {message}"
    ):
        tasks.of("classification").check_data(made())


def test_one_class_is_nothing_to_tell_apart() -> None:
    alone = replace(of_train(targets=np.zeros(13, np.int64)), class_names=("ant",))
    alone = replace(alone, test=replace(alone.test, targets=np.zeros(7, np.int64)))
    with pytest.raises(UserError, match=r"nothing to tell apart; got ant.*--task anomaly"):
        tasks.of("classification").check_data(alone)


def numbers(*columns: tuple[float, float]) -> Dataset:
    """Return data whose targets have these means and (about) standard deviations."""
    rng = np.random.default_rng(0)
    made = {
        count: np.stack([m + s * rng.normal(size=count) for m, s in columns], axis=1)
        for count in (13, 7)
    }
    data = of_train(targets=made[13].astype(np.float32))
    test = replace(data.test, targets=made[7].astype(np.float32))
    return replace(data, test=test, class_names=(), task="regression")


@pytest.mark.parametrize(("columns", "message"), [
    ([(0, 1e30)], r"number 0: mean .*e\+"),
    ([(0, 1), (0, 1e-8)], r"number 1: mean .*, standard deviation .*e-0"),
    ([(1e7, 2)], r"number 0: mean 1e\+07, standard deviation 1\.\d+, expected .*less a constant"),
    ([(2.5, 0), (3, 0)], r"train\.targets say nothing; got 2\.5 in all of them"),
])  # fmt: skip
def test_numbers_that_a_device_cannot_hold_are_refused(
    columns: list[tuple[float, float]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        tasks.of("regression").check_data(numbers(*columns))


def test_numbers_of_usual_sizes_are_taken_and_one_that_never_differs_is_spoken_of() -> None:
    task = tasks.of("regression")
    for columns in ([(0, 1e9), (1e4, 1e4)], [(2000, 0.01)], [(0, 1e-6)], [(5, 0), (1, 1)]):
        task.check_data(numbers(*columns))
    assert task.oddities(numbers((1, 1))) == ()
    assert task.oddities(numbers((5, 0), (1, 1))) == ("the same in all training data: number 0",)
