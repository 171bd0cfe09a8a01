"""What the folders of a data set mean: splits, classes, litter, and what is said of the rest."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nestnet
from codegen.errors import UserError
from nestnet import datasets, runs
from nestnet.cli.device_images import device_images
from nestnet.config import TrainConfig
from nestnet.datasets._split import content_hash, draw
from tests.support.data_trees import (
    WRITERS,
    Tree,
    random_tree,
    write_directory,
    write_tar,
    write_zip,
)


def plain_tree(per_class: int = 23, classes: tuple[str, ...] = ("ant", "bee", "cat")) -> Tree:
    """Return class folders without train/ and test/."""
    files, _ = random_tree(classes, per_class=per_class)
    return {
        name.removeprefix("train/"): content
        for name, content in files.items()
        if name.startswith("train/")
    }


def images(split: datasets.Split) -> set[bytes]:
    return {image.tobytes() for image in split.images}


# Class folders without splits.


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("wrapper", ["", "photos/", "a/b/"])
def test_test_images_are_drawn_alike_from_every_container(
    form: str, wrapper: str, tmp_path: Path
) -> None:
    files = plain_tree()
    path = WRITERS[form]({wrapper + k: v for k, v in files.items()}, tmp_path / form)
    loaded = datasets.load("folder", path)
    assert loaded.class_names == ("ant", "bee", "cat")
    expected = [content_hash(files[name]) < 0.2 * 2**64 for name in sorted(files)]
    assert 3 < sum(expected) < 30
    assert len(loaded.test.targets) == sum(expected)
    assert loaded.test.targets.tolist() == [i // 23 for i, test in enumerate(expected) if test]
    assert len(loaded.train.targets) == 69 - sum(expected)
    assert not images(loaded.train) & images(loaded.test)
    assert loaded.notes[0].startswith(
        f"no train/ and test/: {sum(expected)} of 69 images are test images, those in the lowest "
        "20% by the hash"
    )


def test_images_stay_where_they_are_when_others_are_added_and_renamed(tmp_path: Path) -> None:
    files = plain_tree()
    first = datasets.load("folder", write_directory(files, tmp_path / "a"))
    grown = {name.replace("/", "/more "): content for name, content in files.items()}
    grown |= {f"{n}.png": c for n, c in plain_tree(31).items() if n not in files}
    second = datasets.load("folder", write_directory(grown, tmp_path / "b"))
    assert images(first.train) <= images(second.train)
    assert images(first.test) <= images(second.test)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_is_the_users_to_choose(share: float, tmp_path: Path) -> None:
    path = write_directory(plain_tree(101), tmp_path)
    loaded = datasets.load("folder", path, test_share=share)
    assert abs(len(loaded.test.targets) / 303 - share) < 0.07
    assert f"lowest {share:.0%} by" in loaded.notes[0]


@given(
    hashes=st.lists(st.integers(0, 2**64 - 1), min_size=4, max_size=30),
    share=st.floats(0.01, 0.99),
)
def test_every_class_is_in_both_splits(hashes: list[int], share: float) -> None:
    labels = {f"f{i}": i % 2 for i in range(len(hashes))}
    drawn = draw({f"f{i}": value for i, value in enumerate(hashes)}, labels, share)
    for label in (0, 1):
        assert {drawn[name] for name in labels if labels[name] == label} == {"train", "test"}


def test_a_class_of_one_image_cannot_be_split(tmp_path: Path) -> None:
    files = plain_tree(2) | {"dog/x.png": plain_tree(1)["ant/00.png"]}
    with pytest.raises(UserError, match=r"too few images to draw.*got one image of dog"):
        datasets.load("folder", write_directory(files, tmp_path))


@pytest.mark.parametrize(("name", "share"), [("digits", 0.3), ("folder", 0.2), ("cifar10", 0.1)])
def test_a_share_is_refused_where_there_are_test_images(
    name: str, share: float, tmp_path: Path
) -> None:
    data = None if name == "digits" else write_directory(random_tree()[0], tmp_path)
    with pytest.raises(UserError, match=rf"--test-share: .* of its own.*got {share}|their own"):
        datasets.load(name, data, None, share)


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5])
def test_a_share_is_between_none_and_all(share: float) -> None:
    with pytest.raises(UserError, match="test_share"):
        TrainConfig(test_share=share)


def test_a_run_meets_the_images_it_was_not_trained_on(tmp_path: Path) -> None:
    data = write_directory(plain_tree(11), tmp_path / "data")
    run = nestnet.train(
        data=str(data), test_share=0.4, model="digits_cnn", resize=(8, 8), sparsity=(0.5,),
        epochs=1, out=tmp_path / "runs", quiet=True,
    )  # fmt: skip
    test = datasets.load("folder", data, (8, 8), 0.4).test
    found = device_images(run / runs.MODEL, 1000)
    assert found.available == len(test.targets) != 33 * 0.2
    assert np.array_equal(found.inputs[0].astype(np.int16) + 128, test.images)


def test_files_beside_class_folders(tmp_path: Path) -> None:
    files = plain_tree() | {"LICENSE": b"free", "notes.txt": b"x"}
    assert len(datasets.load("folder", write_directory(files, tmp_path / "a")).class_names) == 3
    files |= {"lost1.PNG": files["ant/00.png"], "lost2.jpg": b""}
    with pytest.raises(UserError, match=r"2 files outside.*got lost1\.PNG, lost2\.jpg"):
        datasets.load("folder", write_directory(files, tmp_path / "b"))


# Folders that are meant as splits.


def renamed(old: str, new: str) -> Callable[[Tree], Tree]:
    return lambda files: {
        new + n.removeprefix(old) if n.startswith(old) else n: c for n, c in files.items()
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (renamed("test/", "val/"), r"got train, val.*Rename val/ to test/"),
        (renamed("test/", "Test/"), r"got Test, train.*in lower case"),
        (lambda f: {n: c for n, c in f.items() if n.startswith("train/")},
         r"got train,.*Add test/, or give .*/train alone"),
        (renamed("test/cat/", "test/Cat/"), r"only in train/: cat; only in test/: Cat.*"
                                             r"Spell 'cat' and 'Cat' alike"),
        (renamed("test/cat/", "test/cat /"), r"Spell 'cat' and 'cat ' alike"),
        (lambda f: {**f, "train/a.csv": b"", "train/b.csv": b"", "test/c": b""},
         r"3 files outside a class folder; got test/c, train/a\.csv, train/b\.csv"),
        (lambda f: {**f, "train/dog/": b"", "test/dog/": b"", "train/eel/": b""},
         r"train: empty class folders|train/dog: empty class folders; got no image in dog, eel"),
    ],
    ids=["val", "case", "train alone", "case of a class", "space", "stray", "empty"],
)  # fmt: skip
def test_what_is_meant_is_asked_for(
    change: Callable[[Tree], Tree], message: str, tmp_path: Path
) -> None:
    files, _ = random_tree()
    with pytest.raises(UserError, match=message):
        datasets.load("folder", write_directory(change(files), tmp_path))


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    files = plain_tree(classes=("car", "plane", "train"))
    loaded = datasets.load("folder", write_directory(files, tmp_path))
    assert loaded.class_names == ("car", "plane", "train")


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("readme", ["README", "a/labels.csv", "a/b/licence.txt"])
def test_texts_beside_the_folders_change_nothing(form: str, readme: str, tmp_path: Path) -> None:
    files = {"a/b/" + name: content for name, content in plain_tree().items()} | {readme: b"text"}
    loaded = datasets.load("folder", WRITERS[form](files, tmp_path / form))
    assert loaded.class_names == ("ant", "bee", "cat")


def test_an_image_beside_a_single_folder_is_refused(tmp_path: Path) -> None:
    files = {"a/" + name: content for name, content in plain_tree().items()} | {"one.PNG": b""}
    with pytest.raises(UserError, match="file outside a class folder; got a file directly in the"):
        datasets.load("folder", write_directory(files, tmp_path))


def test_folders_left_aside_are_said(tmp_path: Path) -> None:
    files, _ = random_tree()
    files |= {"val/ant/0.png": b"", "val/bee/0.png": b"", "more/x/y.txt": b"", "README": b""}
    notes = datasets.load("folder", write_directory(files, tmp_path)).notes
    assert notes == ("not read: more/ (1 file), val/ (2 files)",)


# Names.


def test_composed_and_decomposed_names_are_one_class(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    files, _ = random_tree(("ant", composed))
    mixed = renamed(f"test/{composed}", f"test/{decomposed}")(files)
    loaded = datasets.load("folder", write_directory(mixed, tmp_path / "a"))
    assert loaded.class_names == ("ant", composed)
    both = {**files, f"train/{decomposed}/9.png": files["train/ant/00.png"]}
    with pytest.raises(UserError, match=r"two class folders whose names look the same"):
        datasets.load("folder", write_directory(both, tmp_path / "b"))


def test_a_class_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    write_directory(random_tree()[0], tmp_path)
    for split in ("train", "test"):
        os.rename(tmp_path / split / "ant", os.fsencode(tmp_path / split) + b"/caf\xe9")
    with pytest.raises(UserError, match=r"not UTF-8 text; got 'caf\\udce9'"):
        datasets.load("folder", tmp_path)


# Archives and litter.


def test_an_archive_with_backslashes(tmp_path: Path) -> None:
    files, pixels = random_tree()
    path = tmp_path / "windows.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {"train/": b"", **files}.items():
            member = zipfile.ZipInfo("x")
            member.filename = name.replace("/", "\\")
            archive.writestr(member, content)
    loaded = datasets.load("folder", path)
    assert loaded.class_names == ("ant", "bee", "cat")
    assert np.array_equal(loaded.train.images[0], pixels["train/ant/00.png"])


@pytest.mark.parametrize("name", ["..\\evil.png", "train\\..\\..\\evil.png", "C:" + "\\evil.png"])
def test_backslashes_do_not_lead_out(name: str, tmp_path: Path) -> None:
    path = write_zip({**random_tree()[0], name: b"evil"}, tmp_path / "d.zip")
    with pytest.raises(UserError, match="unsafe archive"):
        datasets.load("folder", path)


def test_a_backslash_in_a_tar_is_a_letter(tmp_path: Path) -> None:
    files = renamed("test/ant", "test/a\\nt")(renamed("train/ant", "train/a\\nt")(random_tree()[0]))
    loaded = datasets.load("folder", write_tar(files, tmp_path / "d.tar"))
    assert loaded.class_names == ("a\\nt", "bee", "cat")


@pytest.mark.parametrize("form", ["data", "data.zip", "data.tar"])
def test_litter_is_ignored_in_any_case(form: str, tmp_path: Path) -> None:
    files, _ = random_tree()
    for name in (
        "train/.DS_Store", "train/ant/Thumbs.db", "train/ant/thumbs.db", "test/bee/ehthumbs.db",
        "train/bee/Desktop.INI", "train/ant/00.png:Zone.Identifier", "train/@eaDir/x",
        "train/ant/@eaDir/00.png@SynoEAStream", "train/ant/00.png@SynoResource",
        "__MACOSX/train/ant/._0.png", "test/$RECYCLE.BIN/x", "#recycle/y",
    ):  # fmt: skip
        files[name] = b"litter"
    loaded = datasets.load("folder", WRITERS[form](files, tmp_path / form))
    assert len(loaded.train.targets) == len(loaded.test.targets) == 9
    assert loaded.notes == ()
