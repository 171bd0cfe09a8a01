"""What a user is told of odd data before it is trained on."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nestnet
from codegen.errors import UserError
from nestnet import datasets
from nestnet.config import TrainConfig
from nestnet.datasets import Dataset, Split, oddities
from nestnet.notices import Notice
from nestnet.tasks.classification import TASK
from nestnet.training.batches import Batches, few_steps
from tests.support.commands import nestnet as nestnet_command
from tests.support.data_trees import encode, random_tree, write_directory


def made(train: tuple[int, ...], test: tuple[int, ...], shape: tuple[int, int, int]) -> Dataset:
    """Return random images, so many of each class."""
    random = np.random.default_rng(0)

    def split(counts: tuple[int, ...]) -> Split:
        labels = np.repeat(np.arange(len(counts)), counts)
        return Split(random.integers(0, 256, (len(labels), *shape), dtype=np.uint8), labels)

    names = tuple(f"c{label}" for label in range(len(train)))
    return Dataset("own", "own", split(train), split(test), names, "none")


def test_ordinary_data_has_nothing_odd() -> None:
    assert oddities(made((90, 11), (53, 47), (5, 7, 3))) == ()
    assert oddities(datasets.load("digits")) == ()


@pytest.mark.parametrize(("test", "step"), [((5, 5), "10.0%"), ((50, 49), "1.0%"), ((1, 0), "100")])
def test_few_test_images_are_said(test: tuple[int, ...], step: str) -> None:
    (note,) = oddities(made((30, 30), test, (5, 7, 1)))
    assert note.startswith(f"{sum(test)} test image") and f"steps of {step}" in note


def test_test_images_among_the_training_images_are_counted() -> None:
    data = made((70, 70), (60, 60), (5, 7, 1))
    images = data.test.images.copy()
    images[[3, 4, 61]] = data.train.images[[5, 5, 80]]
    (note,) = oddities(replace(data, test=Split(images, data.test.targets)))
    assert note.startswith("3 of 120 test images are also training images")


def test_an_image_in_two_classes_is_said() -> None:
    data = made((70, 70, 70), (60, 60, 60), (5, 7, 1))
    images = data.train.images.copy()
    images[150] = images[3]
    (note,) = oddities(replace(data, train=Split(images, data.train.targets)))
    assert note.startswith("1 image lies in more than one class, as in 'c0' and 'c2'")


def test_uneven_classes_and_large_images_are_said() -> None:
    (note,) = oddities(made((7, 70, 13), (60, 60, 60), (5, 7, 1)))
    assert note == "uneven classes: 'c1' has 70 training images, 'c0' 7"
    (note,) = oddities(made((2, 2), (60, 60), (211, 223, 3)))
    assert "211x223x3 takes 141,159 bytes" in note and "--resize" in note


@pytest.mark.parametrize(
    ("images", "batch", "expected"),
    [
        (30, 128, "30 training images at batch 30, cut from 128, make 1 step an epoch, 7 in all: "
                  "--batch 4, or more --epochs, trains longer"),
        (131, 64, "131 training images at batch 64 make 2 steps an epoch, 14 in all: --batch 16, "
                  "or more --epochs, trains longer"),
        (8 * 16, 16, None),
        (5, 2, "5 training images at batch 2 make 2 steps an epoch, 14 in all"),
    ],
)  # fmt: skip
def test_few_steps_are_said(images: int, batch: int, expected: str | None) -> None:
    data = made((images,), (1,), (2, 3, 1)).train
    batches = Batches(data, TASK, torch.device("cpu"), batch)
    said = few_steps(batches, TrainConfig(epochs=7, batch=batch))
    assert said == (() if expected is None else (expected,))


@pytest.fixture
def odd(tmp_path: Path) -> str:
    """Return the path of a small data set with a test image among its training images."""
    files, _ = random_tree(size=(8, 8))
    files["test/ant/00.png"] = files["train/ant/00.png"]
    return str(write_directory(files, tmp_path / "data [1]"))


ODD = (
    "9 test images: accuracies move in steps of 11.1%",
    "1 of 9 test images are also training images",
    "9 training images at batch 9, cut from 128, make 1 step",
)


def test_training_says_it_before_it_begins(
    odd: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As warnings, that a script may silence or turn into errors."""
    settings: dict[str, Any] = {"data": odd, "sparsity": 0, "epochs": 1, "out": tmp_path / "runs"}
    with pytest.warns(Notice) as said:
        nestnet.train(**settings, quiet=True)
    for text in ODD:
        assert [str(w.message).startswith(text) for w in said].count(True) == 1, text
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        with pytest.raises(Notice, match="9 test images"):
            nestnet.train(**settings)
    assert "epochs:" not in capsys.readouterr().out
    assert len(list((tmp_path / "runs").iterdir())) == 1, "before the second run's folder is made"


def test_the_command_line_says_it_once_as_notes(odd: str, tmp_path: Path) -> None:
    line = ("train", "--data", odd, "--sparsity", "0", "--epochs", "1", "--name", "odd")
    done = nestnet_command(*line, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    for text in ODD:
        assert len(re.findall(f"^note: {re.escape(text)}", done.stderr, re.M)) == 1, text
    assert all(line.startswith("note: ") for line in done.stderr.splitlines())
    again = nestnet_command("train", "--resume", "odd", folder=tmp_path)
    assert again.returncode == 0 and not again.stderr


def test_the_size_suggested_for_photos_fits_a_board(tmp_path: Path) -> None:
    files, _ = random_tree(size=(72, 128, 3))
    files["train/bee/01.png"] = encode(np.zeros((64, 48, 3), np.uint8))
    with pytest.raises(UserError, match=r"as in --resize 32x32"):
        datasets.load("folder", write_directory(files, tmp_path))
