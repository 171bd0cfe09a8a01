"""NumPy arrays as a data set."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from codegen.errors import UserError
from nestnet import datasets

Arrays = dict[str, NDArray[Any]]


def windows(n: int, seed: int = 0) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-900, 900, (n, 11, 3)).astype(np.int16)


def four() -> Arrays:
    return {
        "x_train": windows(13),
        "y_train": np.arange(13) % 3,
        "x_test": windows(7, 1),
        "y_test": np.arange(7) % 3,
    }


def stored(arrays: Arrays, path: Path, kind: str = "npz") -> Path:
    if kind == "npz":
        np.savez(path / "data.npz", **arrays)
        return path / "data.npz"
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)
    return path


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_arrays_of_both_splits(kind: str, tmp_path: Path) -> None:
    data = datasets.load("arrays", stored(four(), tmp_path, kind))
    assert data.train.images.dtype == np.int16 and data.input_shape == (1, 11, 3)
    assert np.array_equal(data.train.images[:, 0], windows(13))
    assert data.test.targets.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert data.class_names == ("0", "1", "2") and data.task == "classification"
    assert isinstance(data.train.images.base, np.memmap) or kind == "npz", "files stay on disk"


@pytest.mark.parametrize(
    ("x", "shape", "dtype"),
    [
        (np.zeros((5, 7), np.float32), (1, 7, 1), np.float32),
        (np.zeros((5, 7, 2), np.float64), (1, 7, 2), np.float32),
        (np.zeros((5, 7, 2), np.int64), (1, 7, 2), np.int16),
        (np.full((5, 7, 2), 40000), (1, 7, 2), np.float32),
        (np.zeros((5, 7, 3), np.uint8), (7, 3, 1), np.uint8),
        (np.zeros((5, 7, 3, 2), np.uint8), (7, 3, 2), np.uint8),
    ],
)
def test_the_form_of_x(
    x: NDArray[Any], shape: tuple[int, ...], dtype: type, tmp_path: Path
) -> None:
    y = np.array(["a", "b", "a", "b", "a"])
    arrays = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    data = datasets.load("arrays", stored(arrays, tmp_path))
    assert data.input_shape == shape and data.train.images.dtype == dtype
    assert data.class_names == ("a", "b")


def test_groups_stay_together(tmp_path: Path) -> None:
    arrays = {"X": windows(40), "y": np.arange(40) % 2, "groups": np.arange(40) // 5}
    first, again = (datasets.load("arrays", stored(arrays, tmp_path)) for _ in range(2))
    assert len(first.test.images) == 10 and "test groups" in first.notes[0]
    assert np.array_equal(first.test.images, again.test.images)
    rows = [int(np.argmax((arrays["X"] == w[0]).all(axis=(1, 2)))) for w in first.test.images]
    assert len({row // 5 for row in rows}) == 2


@pytest.mark.parametrize(
    ("shape", "task", "classes"), [((2,), "multi_label", 2), ((1, 11), "segmentation", 2)]
)
def test_labels_and_masks(shape: tuple[int, ...], task: str, classes: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = {"y_train": 13, "y_test": 7}
    targets = {name: rng.integers(0, 2, (n, *shape)) for name, n in sizes.items()}
    data = datasets.load("arrays", stored(four() | targets, tmp_path))
    assert data.task == task and len(data.class_names) == classes
    assert data.test.targets.dtype == np.uint8
    assert np.array_equal(data.test.targets, targets["y_test"])


def test_floats_are_numbers_to_learn(tmp_path: Path) -> None:
    arrays = four() | {"y_train": np.linspace(0, 1, 13), "y_test": np.linspace(0, 1, 7)}
    data = datasets.load("arrays", stored(arrays, tmp_path))
    assert data.task == "regression" and data.train.targets.shape == (13, 1)
    assert data.train.targets.dtype == np.float32 and data.class_names == ()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"y_test": np.arange(6) % 3}, "test: do not fit each other; got (7, 11, 3) and (6,)"),
        ({"x_train": np.full((13, 11, 3), np.nan)}, "not a finite number; got nan at [0, 0, 0]"),
        ({"x_train": np.zeros((13, 2, 2, 2, 2))}, "too many axes"),
        ({"x_train": np.array(["a"] * 13)[:, None]}, "no numbers; got <U1"),
        ({"y_test": np.full(7, 3)}, "classes of the test data without training data; got 3"),
        ({"y_train": np.arange(13) % 2 * 2}, "classes without windows; got 0, 2"),
        ({"y_train": np.full((13, 2), 3)}, "no targets that are known; got int64 (13, 2), 3..3"),
        ({"y_train": np.zeros((13, 2), int)}, "no targets that are known; got int64 (13, 2), 0..0"),
        ({"class_names": np.array(["a"])}, "not one name for each class; got 1, expected 3"),
        ({"y_train": None}, "no y_train; got x_test, x_train, y_test"),
        ({"x_train": None, "x_test": None}, "no x and no y"),
        ({"x_test": windows(7)[:, :5]}, "x_test: is not like x_train; got int16 (n, 1, 5, 3)"),
        ({"x_test": np.zeros((7, 11, 3), np.float32)}, "got float32 (n, 1, 11, 3), expected int16"),
        (
            {"y_train": np.full((13, 5, 7), 255), "y_test": np.zeros((7, 5, 7), int)},
            "masks of one class; got no number but 255",
        ),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], named: str, tmp_path: Path) -> None:
    arrays = {name: a for name, a in (four() | change).items() if a is not None}
    with pytest.raises(UserError, match=re.escape(named)):
        datasets.load("arrays", stored(arrays, tmp_path))


def noted(tmp_path: Path, **arrays: NDArray[Any]) -> str:
    splits = {f"{name}_{split}": a for name, a in arrays.items() for split in ("train", "test")}
    return " / ".join(datasets.load("arrays", stored(four() | splits, tmp_path)).notes)


def test_what_may_be_meant_otherwise_is_spoken_of(tmp_path: Path) -> None:
    labels = np.arange(13) % 3
    pixels = np.zeros((13, 3, 11, 7), np.uint8)
    assert noted(tmp_path, x=windows(13), y=labels) == ""
    assert noted(tmp_path, x=pixels.transpose(0, 2, 3, 1), y=labels) == ""
    assert "3 high, 11 wide, 7 channels; images as PyTorch" in noted(tmp_path, x=pixels, y=labels)
    assert "as PyTorch has them" in noted(tmp_path, x=pixels.astype(np.float32), y=labels)
    assert noted(tmp_path, x=np.zeros((13, 1, 11, 7), np.int16), y=labels) == ""
    turned = windows(13).transpose(0, 2, 1)[:, :2]
    assert "2 samples of 11 channels; windows as" in noted(tmp_path, x=turned, y=labels)
    one_hot = np.eye(3, dtype=int)[labels]
    assert "exactly one of 3 is 1" in noted(tmp_path, x=windows(13), y=one_hot)
    assert "learned as numbers; classes that" in noted(tmp_path, x=windows(13), y=one_hot * 1.0)
    assert noted(tmp_path, x=windows(13), y=np.maximum(one_hot, one_hot[:1])) == ""
    assert "3 different ones, stored as float64" in noted(tmp_path, x=windows(13), y=labels * 1.0)
    assert noted(tmp_path, x=windows(13), y=labels * 1.5) == ""


def test_masks_may_have_an_axis_for_their_only_channel(tmp_path: Path) -> None:
    masks = np.random.default_rng(1).integers(0, 3, (7, 5, 11, 1))
    arrays = {"y_train": np.resize(masks, (13, 5, 11, 1)), "y_test": masks}
    data = datasets.load("arrays", stored(four() | arrays, tmp_path))
    assert data.task == "segmentation" and len(data.class_names) == 3
    assert np.array_equal(data.test.targets, masks[..., 0])


def test_what_is_no_file_of_arrays_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"no array")
    with pytest.raises(UserError, match="cannot be read as arrays"):
        datasets.load("arrays", tmp_path)
    np.save(tmp_path / "alone.npy", windows(3))
    with pytest.raises(UserError, match="cannot be read as arrays; got a single array"):
        datasets.load("arrays", tmp_path / "alone.npy")
    with pytest.raises(UserError, match="needs a place"):
        datasets.load("arrays")
    with pytest.raises(UserError, match="--resize: arrays are taken as they are"):
        datasets.load("arrays", tmp_path, (3, 3))
    with pytest.raises(UserError, match="--test-share: the data has test arrays"):
        datasets.load("arrays", stored(four(), tmp_path), None, 0.3)


def test_numbers_that_floats_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    x = 1e12 + np.random.default_rng(0).uniform(0, 9, (12, 5, 2)) * (1, 1e9)
    with pytest.raises(UserError, match="channel 0: numbers too large"):
        datasets.load("arrays", stored({"x": x, "y": np.arange(12) % 3}, tmp_path))
