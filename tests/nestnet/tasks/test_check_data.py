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
    with pytest.raises(UserError, match=rf"^nestnet/datasets/own\.py: {message}"):
        tasks.of("classification").check_data(made())
