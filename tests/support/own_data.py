"""A data set in memory, and what a broken module could return instead of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nestnet.datasets import Dataset, Split


def good(resize: tuple[int, int] | None = None, test_share: float = 0.0) -> Dataset:
    """Return 13 training and 7 test images of 3 classes."""
    height, width = resize or (5, 11)

    def split(count: int) -> Split:
        labels = np.arange(count, dtype=np.int64) % 3
        return Split(np.full((count, height, width, 2), 9, np.uint8), labels)

    names = ("ant", "bee", "cat")
    return Dataset("own", "own", split(13), split(7), names, "crop", test_share=test_share)


def of_train(**changes: Any) -> Dataset:
    dataset = good()
    return replace(dataset, train=replace(dataset.train, **changes))


def of_test(**changes: Any) -> Dataset:
    dataset = good()
    return replace(dataset, test=replace(dataset.test, **changes))
