"""A data set's module that returns what it must not is refused by name, before any training."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from codegen.errors import UserError
from nestnet import datasets
from nestnet.datasets import Dataset, Split

Load = Callable[..., Any]
Own = Callable[[Load | None, str], None]


def good(resize: tuple[int, int] | None = None, test_share: float = 0.0) -> Dataset:
    """Return 13 training and 7 test images of 3 classes."""
    height, width = resize or (5, 11)

    def split(count: int) -> Split:
        labels = np.arange(count, dtype=np.int64) % 3
        return Split(np.full((count, height, width, 2), 9, np.uint8), labels)

    names = ("ant", "bee", "cat")
    return Dataset("own", "own", split(13), split(7), names, "crop", test_share=test_share)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Own:
    """Return a function that makes "own" a data set with this ``load`` and docstring."""
    known = (*datasets.names(), "own")

    def install(load: Load | None, docstring: str = "Insects.") -> None:
        module = ModuleType("nestnet.datasets.own", docstring)
        module.__file__ = "/somewhere/own.py"
        if load is not None:
            module.load = load  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(datasets, "names", lambda: known)

    return install


def of_train(**changes: Any) -> Dataset:
    dataset = good()
    return replace(dataset, train=replace(dataset.train, **changes))


def of_test(**changes: Any) -> Dataset:
    dataset = good()
    return replace(dataset, test=replace(dataset.test, **changes))


BROKEN: list[tuple[str, Callable[[], Any], str]] = [
    ("nothing", lambda: None, r"load returns no data set; got NoneType"),
    (
        "float",
        lambda: of_train(images=good().train.images / np.float32(255)),
        r"train\.images cannot be used; got float32 \(13, 5, 11, 2\), expected uint8 \(n, h,",
    ),
    ("grey", lambda: of_test(images=good().test.images[..., 0]), r"test\.images.*\(7, 5, 11\)"),
    ("list", lambda: of_train(images=[[1]]), r"train\.images cannot be used; got list"),
    (
        "int32",
        lambda: of_train(labels=good().train.labels.astype(np.int32)),
        r"train\.labels cannot be used; got int32 \(13,\), expected int64 \(n,\)",
    ),
    (
        "column",
        lambda: of_test(labels=good().test.labels[:, np.newaxis]),
        r"test\.labels cannot be used; got int64 \(7, 1\)",
    ),
    (
        "from one",
        lambda: of_train(labels=good().train.labels + 1),
        r"train\.labels lie outside class_names; got 1\.\.3, expected 0\.\.2 for 3 class names",
    ),
    ("negative", lambda: of_test(labels=good().test.labels - 1), r"test\.labels.*got -1\.\.1"),
    (
        "no test images",
        lambda: of_test(images=good().test.images[:0], labels=good().test.labels[:0]),
        r"test\.images holds nothing; got uint8 \(0, 5, 11, 2\)",
    ),
    (
        "fewer images",
        lambda: of_train(images=good().train.images[:11]),
        r"train\.labels and train\.images differ in number; got 13 labels, 11 images",
    ),
    (
        "other size",
        lambda: of_test(images=good().test.images[:, 1:]),
        r"test\.images have another shape than train\.images; got 4x11x2, expected 5x11x2",
    ),
    ("no classes", lambda: replace(good(), class_names=()), r"class_names is empty"),
    (
        "augmentation",
        lambda: replace(good(), default_augment="flip"),
        r"default_augment is unknown; got 'flip', expected none \| crop \| flip-crop\.",
    ),
    ("auto", lambda: replace(good(), default_augment="auto"), r"default_augment.*got 'auto'"),
]


@pytest.mark.parametrize(
    ("made", "message"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN]
)
def test_what_load_must_not_return_is_refused(
    made: Callable[[], Any], message: str, own: Own
) -> None:
    own(lambda data, resize, test_share: made(), "Insects.")
    with pytest.raises(UserError, match=rf"^nestnet/datasets/own\.py: {message}"):
        datasets.load("own")


def test_an_ignored_flag_is_refused(own: Own, tmp_path: Path) -> None:
    own(lambda data, resize, test_share: good(), "Insects.")
    assert datasets.load("own", tmp_path).input_shape == (5, 11, 2)
    assert datasets.load("own", resize=(5, 11)).input_shape == (5, 11, 2)
    with pytest.raises(UserError, match=r"does not resize; got images of 5x11.*expected.*11x5"):
        datasets.load("own", resize=(11, 5))
    with pytest.raises(UserError, match=r"share of test images.*got .*0\.0, expected 0\.3"):
        datasets.load("own", test_share=0.3)


def test_what_follows_the_flags_is_loaded(own: Own) -> None:
    own(lambda data, resize, test_share: good(resize, test_share), "Insects.")
    loaded = datasets.load("own", resize=(3, 7), test_share=0.3)
    assert loaded.input_shape == (3, 7, 2) and loaded.test_share == 0.3
    assert datasets.describe("own") == "Insects."


def test_a_module_without_load_or_docstring_is_refused(own: Own) -> None:
    own(None, "Insects.")
    for ask in (datasets.load, datasets.describe):
        with pytest.raises(UserError, match=r"own\.py: no function load.*load\(data, resize"):
            ask("own")
    own(lambda data, resize, test_share: good(), "\n")
    with pytest.raises(UserError, match=r"own\.py: no docstring"):
        datasets.describe("own")
