"""The digits data set: shapes, range, a fixed stratified split."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from codegen.errors import UserError
from nestnet import datasets


def test_split_is_stratified_fixed_and_complete() -> None:
    digits = datasets.load("digits")
    again = datasets.load("digits")
    assert digits.input_shape == (8, 8, 1)
    assert len(digits.test.targets) == 360
    assert len(digits.train.targets) == 1797 - 360
    assert np.array_equal(digits.test.images, again.test.images)
    counts = np.bincount(digits.test.targets, minlength=10)
    both = counts + np.bincount(digits.train.targets, minlength=10)
    assert np.all(np.abs(counts - both * 360 / 1797) < 1)
    assert digits.class_names == tuple("0123456789")
    assert digits.train.images.dtype == np.uint8
    assert digits.train.targets.dtype == np.int64


def test_pixels_span_the_whole_byte() -> None:
    digits = datasets.load("digits")
    values = np.unique(np.concatenate([digits.train.images, digits.test.images]))
    assert values.tolist() == [round(v * 255 / 16) for v in range(17)]


def test_resize() -> None:
    digits = datasets.load("digits", resize=(13, 11))
    assert digits.input_shape == (13, 11, 1)
    small = datasets.load("digits")
    assert abs(float(digits.test.images.mean()) - float(small.test.images.mean())) < 8


def test_takes_no_data(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--data: the digits data set takes no data"):
        datasets.load("digits", tmp_path)


def test_unknown_name_lists_the_known_ones() -> None:
    listed = re.escape(" | ".join(datasets.names()))
    with pytest.raises(UserError, match=listed) as caught:
        datasets.load("digit")
    assert "Did you mean 'digits'" in str(caught.value)


@pytest.mark.parametrize("resize", [(0, 8), (8, -1), (5000, 8)])
def test_resize_out_of_range(resize: tuple[int, int]) -> None:
    with pytest.raises(UserError, match=r"1\.\.4096"):
        datasets.load("digits", resize=resize)


def test_missing_data_path(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent: no such file"):
        datasets.load("folder", tmp_path / "absent")
