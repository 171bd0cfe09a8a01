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
from tests.support.own_data import good, of_test, of_train

Load = Callable[..., Any]
Own = Callable[[Load | None, str], None]


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


BROKEN: list[tuple[str, Callable[[], Any], str]] = [
    ("nothing", lambda: None, r"load returns no data set; got NoneType"),
    (
        "float",
        lambda: of_train(images=good().train.images / np.float64(255)),
        r"train\.images cannot be used; got float64 \(13, 5, 11, 2\), expected uint8",
    ),
    (
        "two types",
        lambda: of_train(images=good().train.images.astype(np.int16)),
        r"test\.images have another type than train\.images; got uint8, expected int16",
    ),
    ("grey", lambda: of_test(images=good().test.images[..., 0]), r"test\.images.*\(7, 5, 11\)"),
    ("list", lambda: of_train(images=[[1]]), r"train\.images cannot be used; got list"),
    ("no array", lambda: of_train(targets=[[1]]), r"train\.targets cannot be used; got list"),
    (
        "no test images",
        lambda: of_test(images=good().test.images[:0], targets=good().test.targets[:0]),
        r"test\.images holds nothing; got uint8 \(0, 5, 11, 2\)",
    ),
    (
        "fewer images",
        lambda: of_train(images=good().train.images[:11]),
        r"train\.targets and train\.images differ in number; got 13 targets, 11 images",
    ),
    (
        "other size",
        lambda: of_test(images=good().test.images[:, 1:]),
        r"test\.images have another shape than train\.images; got 4x11x2, expected 5x11x2",
    ),
    (
        "augmentation",
        lambda: replace(good(), default_augment="flip"),
        r"default_augment is unknown; got 'flip', expected none \| crop \| flip-crop \| fli",
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
