"""CIFAR-10 in its layouts; hostile pickles are data, never run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.errors import UserError
from nestnet import datasets
from nestnet.datasets import cifar10
from nestnet.datasets._reading.pickle_data import Call, UnreadablePickle, read
from nestnet.datasets.cifar10 import BATCHES, CLASS_NAMES
from tests.support.data_trees import (
    WRITERS,
    Tree,
    cifar_arrays,
    cifar_binary,
    cifar_python,
    encode,
    write_directory,
)

JPEG_COPY = "NESTNET_CIFAR10_JPEG"
"""Environment variable: path of an archive with CIFAR-10 as class folders of JPEG images."""


@pytest.mark.parametrize("form", ["data", "data.zip", "data.tar.gz"])
@pytest.mark.parametrize("layout", [cifar_binary, cifar_python], ids=["binary", "python"])
def test_official_layouts(layout: Any, form: str, tmp_path: Path) -> None:
    arrays = cifar_arrays()
    loaded = datasets.load("cifar10", WRITERS[form](layout(arrays), tmp_path / form))
    assert loaded.title == "CIFAR-10"
    assert loaded.class_names == CLASS_NAMES
    assert loaded.default_augment == "flip-crop"
    images = np.concatenate([arrays[batch][0] for batch in BATCHES])
    labels = np.concatenate([arrays[batch][1] for batch in BATCHES])
    assert np.array_equal(loaded.train.images, images)
    assert np.array_equal(loaded.train.targets, labels)
    assert np.array_equal(loaded.test.images, arrays["test_batch"][0])


@pytest.mark.parametrize("protocol", [2, 3])
def test_python_layout_of_either_protocol(protocol: int, tmp_path: Path) -> None:
    arrays = cifar_arrays(seed=protocol)
    loaded = datasets.load("cifar10", write_directory(cifar_python(arrays, protocol), tmp_path))
    assert np.array_equal(loaded.test.images, arrays["test_batch"][0])


def test_python_2_pickle_with_byte_strings() -> None:
    """The official files are Python 2's: str opcodes, "numpy.core", no _codecs detour."""
    raw = bytes(range(256)) * 12
    content = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03"
        b"cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87Rq\x05(K\x01K\x01M\x00\x0c\x86"
        b"cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89T" + len(raw).to_bytes(4, "little") + raw + b"tb"
        b"U\x06labelsq\x08]q\x09K\x07au."
    )
    split = cifar10._parse_python("data_batch_1", content)
    assert split.targets.tolist() == [7]
    assert split.images.shape == (1, 32, 32, 3)
    assert split.images[0, 0, :4, 0].tolist() == [0, 1, 2, 3]


def test_resize(tmp_path: Path) -> None:
    path = write_directory(cifar_binary(cifar_arrays()), tmp_path)
    assert datasets.load("cifar10", path, (7, 5)).input_shape == (7, 5, 3)


def _class_folders(kind: str) -> Tree:
    random = np.random.default_rng(0)
    return {
        f"{split}/{label}/0.{kind.lower()}": encode(
            random.integers(0, 256, (32, 32, 3), dtype=np.uint8), kind
        )
        for split in ("train", "test")
        for label in CLASS_NAMES
    }


@pytest.mark.parametrize(
    ("kind", "title"),
    [("JPEG", "CIFAR-10 (JPEG-75 copy)"), ("PNG", "CIFAR-10 (re-encoded copy)")],
)
def test_class_folders_are_called_a_copy(kind: str, title: str, tmp_path: Path) -> None:
    path = write_directory(_class_folders(kind), tmp_path)
    assert datasets.load("cifar10", path).title == title
    assert datasets.load("cifar10", path).train.targets.tolist() == list(range(10))


def test_other_class_folders_are_refused(tmp_path: Path) -> None:
    files = {name: v for name, v in _class_folders("PNG").items() if "/truck/" not in name}
    with pytest.raises(UserError, match=r"got 9 classes of 32x32x3"):
        datasets.load("cifar10", write_directory(files, tmp_path))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("data_batch_3", lambda c: None, r"incomplete CIFAR-10; got no data_batch_3"),
        ("data_batch_3", lambda c: c[:-5], r"data_batch_3.*: damaged"),
        ("test_batch", lambda c: b"", r"test_batch.*: damaged"),
    ],
    ids=["absent", "short", "empty"],
)
@pytest.mark.parametrize("layout", [cifar_binary, cifar_python], ids=["binary", "python"])
def test_incomplete_batches(
    layout: Any, name: str, change: Any, message: str, tmp_path: Path
) -> None:
    files = {
        file: changed
        for file, content in layout(cifar_arrays()).items()
        if (changed := change(content) if f"/{name}" in file else content) is not None
    }
    with pytest.raises(UserError, match=message):
        datasets.load("cifar10", write_directory(files, tmp_path))


def test_label_out_of_range(tmp_path: Path) -> None:
    files = cifar_binary(cifar_arrays())
    name = "cifar-10-batches-bin/data_batch_2.bin"
    files[name] = b"\x0a" + files[name][1:]
    with pytest.raises(UserError, match=r"data_batch_2\.bin: damaged .*got label 10"):
        datasets.load("cifar10", write_directory(files, tmp_path))


def test_unknown_layout_and_missing_data(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(UserError, match=r"no CIFAR-10 layout found; got readme\.txt"):
        datasets.load("cifar10", tmp_path)
    with pytest.raises(UserError, match=r"not part of any dependency"):
        datasets.load("cifar10")


class _Evil:
    """Runs a command when unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("as_entry", [False, True], ids=["whole", "entry"])
def test_hostile_pickle_is_not_executed(protocol: int, as_entry: bool, tmp_path: Path) -> None:
    proof = tmp_path / "executed"
    evil = _Evil(f"touch {proof}")
    hostile = pickle.dumps({b"data": evil, b"labels": [1]} if as_entry else evil, protocol)
    files = cifar_python(cifar_arrays())
    files["cifar-10-batches-py/data_batch_1"] = hostile
    with pytest.raises(UserError, match=r"data_batch_1: damaged CIFAR-10 batch"):
        datasets.load("cifar10", write_directory(files, tmp_path / "data"))
    assert not proof.exists()
    pickle.loads(hostile)
    assert proof.exists(), "the pickle was not hostile, so this test proved nothing"


@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x02(ibuiltins\neval\n.",
        b"\x80\x02cbuiltins\nobject\n)\x81.",
        b"\x80\x02}(](K\x01eK\x02u.",
        b"\x80\x02t.",
        b"\x80\x02h\x05.",
        b"\x80\x02Pabc\n.",
        b"\x80\x02K\x01a.",
        b"",
        b"\x80\x02}",
    ],
)
def test_odd_pickles_are_data_or_unreadable(content: bytes) -> None:
    try:
        value = read(content)
    except UnreadablePickle:
        return
    assert isinstance(value, Call)
    assert value.function == "os system"
    assert value.arguments == ("true",)


@settings(max_examples=300)
@given(st.data())
def test_damaged_pickles_never_escape_as_another_error(data: st.DataObject) -> None:
    good = bytearray(pickle.dumps({b"labels": [1, 2], b"data": np.zeros(4, np.uint8)}, 2))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(good[: data.draw(st.integers(0, len(good)))])
    try:
        value = read(content)
    except UnreadablePickle as error:
        assert str(error)
    else:
        assert value is None or isinstance(value, dict | list | tuple | str | bytes | int | float
                                           | Call)  # fmt: skip


def test_jpeg_copy_from_its_archive() -> None:
    path = os.environ.get(JPEG_COPY)
    if path is None:
        pytest.skip(f"{JPEG_COPY} names no archive of CIFAR-10 as JPEG images")
    loaded = datasets.load("cifar10", Path(path))
    assert loaded.title == "CIFAR-10 (JPEG-75 copy)"
    assert loaded.train.images.shape == (50000, 32, 32, 3)
    assert np.bincount(loaded.test.targets).tolist() == [1000] * 10
