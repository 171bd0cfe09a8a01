"""Handwritten digits, 8x8 grey, 1797 images; ships with scikit-learn, needs no --data."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codegen.errors import UserError
from nestnet.datasets._reading.images import resize_all
from nestnet.datasets._split import refuse_share
from nestnet.datasets._types import Dataset, Int64Array, Split

TEST_IMAGES = 360
SPLIT_SEED = 0


def load(data: Path | None, resize: tuple[int, int] | None, test_share: float) -> Dataset:
    """Load the digits with a fixed stratified test split of 360 images.

    The pixels of scikit-learn's copy are 0..16; they become ``round(value * 255 / 16)``.

    Raises:
        UserError: ``data`` or ``test_share`` was given.
    """
    refuse_share(test_share, f"the digits have {TEST_IMAGES} test images of their own")
    if data is not None:
        raise UserError(
            "--data",
            "the digits data set takes no data",
            got=str(data),
            expected="nothing",
            action="Leave --data out, or choose --dataset folder",
        )
    from sklearn.datasets import load_digits  # slow to import, needed for this data set only

    raw = load_digits()
    images = np.rint(raw.images * (255.0 / 16.0)).astype(np.uint8)[..., np.newaxis]
    labels = raw.target.astype(np.int64)
    if resize is not None:
        images = resize_all(images, resize)
    test = _stratified(labels, TEST_IMAGES, np.random.RandomState(SPLIT_SEED))
    train = np.setdiff1d(np.arange(len(labels)), test)
    return Dataset(
        name="digits",
        title="scikit-learn digits",
        train=Split(images[train], labels[train]),
        test=Split(images[test], labels[test]),
        class_names=tuple(str(digit) for digit in raw.target_names),
        default_augment="none",
    )


def _stratified(labels: Int64Array, count: int, random: np.random.RandomState) -> Int64Array:
    """Draw ``count`` indices, sorted, with every class in its share (largest remainder)."""
    classes, sizes = np.unique(labels, return_counts=True)
    exact = sizes * (count / len(labels))
    take = np.floor(exact).astype(np.int64)
    by_remainder = np.argsort(take - exact, kind="stable")
    take[by_remainder[: count - int(take.sum())]] += 1
    drawn = [
        random.permutation(np.flatnonzero(labels == label))[:n]
        for label, n in zip(classes, take, strict=True)
    ]
    return np.sort(np.concatenate(drawn)).astype(np.int64)
