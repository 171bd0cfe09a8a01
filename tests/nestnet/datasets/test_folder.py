"""The folder data set: every container, every kind of image, every kind of damage."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from codegen.errors import UserError
from nestnet import datasets
from tests.support.data_trees import (
    WRITERS,
    encode,
    random_tree,
    write_directory,
    write_tar,
)


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("wrapper", ["", "photos-1.0/"])
def test_same_data_in_every_container(form: str, wrapper: str, tmp_path: Path) -> None:
    files, pixels = random_tree()
    path = WRITERS[form]({wrapper + k: v for k, v in files.items()}, tmp_path / form)
    loaded = datasets.load("folder", path)
    assert loaded.class_names == ("ant", "bee", "cat")
    assert loaded.input_shape == (5, 7, 3)
    for split in ("train", "test"):
        expected = np.stack([pixels[name] for name in sorted(files) if name.startswith(split)])
        got = getattr(loaded, split)
        assert np.array_equal(got.images, expected)
        assert got.targets.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    files, pixels = random_tree(size=(11, 3))
    loaded = datasets.load("folder", write_directory(files, tmp_path))
    assert loaded.input_shape == (11, 3, 1)
    assert np.array_equal(loaded.train.images[0, :, :, 0], pixels["train/ant/00.png"])


def test_grey_among_colour_is_widened(tmp_path: Path) -> None:
    files, pixels = random_tree()
    grey = np.arange(35, dtype=np.uint8).reshape(5, 7)
    files["train/ant/00.png"] = encode(grey)
    loaded = datasets.load("folder", write_directory(files, tmp_path))
    assert loaded.input_shape == (5, 7, 3)
    assert np.array_equal(loaded.train.images[0], np.stack([grey] * 3, axis=-1))
    assert np.array_equal(loaded.train.images[1], pixels["train/ant/01.png"])


def test_resize_accepts_mixed_sizes(tmp_path: Path) -> None:
    files, _ = random_tree()
    files["train/ant/00.png"] = encode(np.zeros((17, 2, 3), np.uint8))
    loaded = datasets.load("folder", write_directory(files, tmp_path), (6, 4))
    assert loaded.input_shape == (6, 4, 3)
    assert not loaded.train.images[0].any()


def test_mixed_sizes_without_resize_name_the_file(tmp_path: Path) -> None:
    files, _ = random_tree()
    files["train/bee/01.png"] = encode(np.zeros((17, 2, 3), np.uint8))
    with pytest.raises(UserError, match=r"bee/01\.png: images of mixed size; got 17x2") as caught:
        datasets.load("folder", write_directory(files, tmp_path))
    assert "--resize 5x7" in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("form", ["data", "data.zip", "data.tar.gz"])
def test_truncated_image_is_named(kind: str, form: str, tmp_path: Path) -> None:
    files, _ = random_tree(size=(31, 29, 3), kind=kind)
    victim = f"train/bee/01.{kind.lower()}"
    files[victim] = files[victim][: len(files[victim]) // 2]
    with pytest.raises(UserError, match=rf"{victim}: not a readable image"):
        datasets.load("folder", WRITERS[form](files, tmp_path / form))


@pytest.mark.parametrize("content", [b"", b"hello, not an image", b"\x89PNG\r\n\x1a\n"])
def test_non_image_is_named(content: bytes, tmp_path: Path, own_cache: Path) -> None:
    files, _ = random_tree()
    files["test/cat/notes.txt"] = content
    with pytest.raises(UserError, match=r"test/cat/notes\.txt: not a readable image"):
        datasets.load("folder", write_directory(files, tmp_path))
    assert not list(own_cache.glob("*")), "a failed load must leave nothing in the cache"


def _without(files: dict[str, bytes], start: str) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if not name.startswith(start)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: {}, r"no class folders; got an empty folder"),
        (lambda f: _without(f, "test/"), r"no train/ and test/ folders; got train"),
        (lambda f: _without(f, "train/bee"), r"different classes; got only in test/: bee"),
        (lambda f: _without(f, "test/bee"), r"different classes; got only in train/: bee"),
        (
            lambda f: _without(_without(_without(_without(f, "train/bee"), "test/bee"),
                                        "train/cat"), "test/cat"),
            r"train: only one class; got ant",
        ),
        (lambda f: {**f, "train/dog/": b"", "test/dog/": b""}, r"train/dog: empty class folder"),
        (lambda f: {**_without(f, "test/"), "test/": b""}, r"/test: no class folders"),
        (lambda f: {**f, "train/labels.csv": b"1"}, r"train/labels\.csv: file outside a class"),
    ],
    ids=["empty", "no-test", "train-lacks", "test-lacks", "one-class", "empty-class", "empty-split",
         "stray-file"],
)  # fmt: skip
@pytest.mark.parametrize("form", ["data", "data.zip", "data.tar"])
def test_bad_layouts(change, message: str, form: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    files, _ = random_tree()
    path = tmp_path / form
    if form == "data":
        path.mkdir()
    with pytest.raises(UserError, match=message):
        datasets.load("folder", WRITERS[form](change(files), path))


def test_needs_data() -> None:
    with pytest.raises(UserError, match=r"Add --data DIR"):
        datasets.load("folder")


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "train/../../evil.png"])
@pytest.mark.parametrize("form", ["data.zip", "data.tar"])
def test_archive_entries_that_lead_out_are_refused(name: str, form: str, tmp_path: Path) -> None:
    files, _ = random_tree()
    path = WRITERS[form]({**files, name: b"evil"}, tmp_path / form)
    with pytest.raises(UserError, match=r"unsafe archive; got an entry"):
        datasets.load("folder", path)
    assert not list(tmp_path.parent.glob("**/evil.png"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_archive_links_and_devices_are_refused(kind: bytes, tmp_path: Path) -> None:
    files, _ = random_tree()
    path = write_tar(files, tmp_path / "data.tar")
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo("train/ant/link.png")
        member.type, member.linkname = kind, "/etc/hostname"
        archive.addfile(member)
    with pytest.raises(UserError, match=r"link\.png' that is a link or a device"):
        datasets.load("folder", path)


@pytest.mark.parametrize("form", ["data.zip", "data.tar.gz", "data.tar.xz", "data.tar.bz2"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_truncated_archive(form: str, share: float, tmp_path: Path) -> None:
    files, _ = random_tree(size=(31, 29, 3))
    path = WRITERS[form](files, tmp_path / form)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=r"archive") as caught:
        datasets.load("folder", path)
    assert form in str(caught.value)


def test_plain_file_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "data.txt"
    path.write_text("no archive")
    with pytest.raises(UserError, match=r"not a directory or a readable archive"):
        datasets.load("folder", path)


def test_decoded_once_then_read_from_the_cache(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, _ = random_tree()
    path = write_directory(files, tmp_path / "data")
    first = datasets.load("folder", path)
    assert len(list(own_cache.iterdir())) == 1

    def refuse(*_: object) -> None:
        raise AssertionError("decoded again")

    with monkeypatch.context() as patch:
        patch.setattr("nestnet.datasets.folder.decode", refuse)
        second = datasets.load("folder", path)
        assert np.array_equal(first.train.images, second.train.images)
        assert first.class_names == second.class_names
        with pytest.raises(AssertionError, match="decoded again"):
            datasets.load("folder", path, (3, 3))

    changed = path / "train/ant/00.png"
    changed.write_bytes(encode(np.zeros((5, 7, 3), np.uint8)))
    os.utime(changed, ns=(1, 1))
    assert not datasets.load("folder", path).train.images[0].any()


def test_damaged_cache_is_decoded_again(tmp_path: Path, own_cache: Path) -> None:
    files, _ = random_tree()
    path = write_directory(files, tmp_path / "data")
    first = datasets.load("folder", path)
    (entry,) = own_cache.iterdir()
    for damage in (b"", b"PK\x03\x04rubbish", entry.read_bytes()[:-200]):
        entry.write_bytes(damage)
        again = datasets.load("folder", path)
        assert np.array_equal(first.train.images, again.train.images)


def test_unwritable_cache_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocker))
    files, _ = random_tree()
    path = write_directory(files, tmp_path / "data")
    assert len(datasets.load("folder", path).train.targets) == 9


def test_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    write_directory(random_tree()[0], tmp_path)
    (tmp_path / "train" / "ant" / "gone.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"ant/gone\.png: cannot be read; got No such file"):
        datasets.load("folder", tmp_path)
