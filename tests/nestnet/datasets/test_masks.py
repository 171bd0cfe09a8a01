"""Images with masks: found, cut, split, and refused where they do not belong together."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from codegen.errors import UserError
from nestnet import datasets
from nestnet.datasets import Split
from nestnet.tasks import of
from tests.support.data_trees import Tree, encode, write_directory

NAMES = ("a", "b", "c", "d", "e")
VALUES = (0, 7, 255)
SIZE = (13, 11)


def tree(masks: str = "masks", values: tuple[int, ...] = VALUES) -> Tree:
    """Return five images with masks of these ``values``."""
    random = np.random.default_rng(3)
    files: Tree = {}
    for name in NAMES:
        files[f"all/images/{name}.png"] = encode(random.integers(0, 256, (*SIZE, 3), np.uint8))
        drawn = random.choice(np.array(values, np.uint8), SIZE)
        files[f"all/{masks}/{name}.png"] = encode(drawn)
    return files


def described(files: Tree, text: str) -> Tree:
    return files | {"all/masks.toml": text.encode()}


TWO = 'classes = ["sky", "road"]\nvalues = [0, 7]\nignore = 255\n'


def test_masks_get_class_numbers_and_images_are_split(tmp_path: Path) -> None:
    files = described(tree(), TWO + 'test = ["b", "d"]')
    data = datasets.load("masks", write_directory(files, tmp_path))
    of(data.task).check_data(data)
    assert data.task == "segmentation" and data.class_names == ("sky", "road")
    assert data.train.images.shape == (3, *SIZE, 3) and data.test.targets.shape == (2, *SIZE)
    stored = np.asarray(Image.open(io.BytesIO(files["all/masks/b.png"])))
    assert np.array_equal(data.test.targets[0], np.select([stored == 0, stored == 7], [0, 1], 255))
    assert data.test.targets.dtype == np.uint8


def test_tiles_of_an_image_stay_together_and_cover_it(tmp_path: Path) -> None:
    files = described(tree(), TWO + 'tile = [6, 5]\ntest = ["c"]')
    data = datasets.load("masks", write_directory(files, tmp_path))
    assert data.train.images.shape == (4 * 9, 6, 5, 3) and len(data.test.images) == 9
    assert data.cut is not None and data.cut.margin == 0 and data.cut.largest == SIZE
    whole = datasets.load(
        "masks", write_directory(described(tree(), TWO + 'test = ["c"]'), tmp_path)
    )
    assert whole.cut is None
    assert np.array_equal(data.test.images[4], whole.test.images[0][6:12, 5:10])
    assert np.array_equal(data.test.targets[4], whole.test.targets[0][6:12, 5:10])
    assert np.array_equal(data.test.images[8], whole.test.images[0][7:13, 6:11])
    _covers_once(data.test, whole.test)


def test_images_are_resized_before_they_are_cut(tmp_path: Path) -> None:
    files = described(tree(), TWO + 'tile = [6, 5]\ntest = ["c"]')
    data = datasets.load("masks", write_directory(files, tmp_path), resize=(12, 20))
    assert data.cut is not None and data.cut.largest == (12, 20)
    assert data.train.images.shape == (4 * 8, 6, 5, 3) and len(data.test.images) == 8


def _covers_once(tiles: Split, whole: Split) -> None:
    """Check that the targets of a split's tiles count every position of its images once."""
    counts = [np.bincount(split.targets.reshape(-1), minlength=256)[:2] for split in (tiles, whole)]
    assert np.array_equal(*counts) and counts[0].all()


@pytest.mark.parametrize(("tile", "margin"), [((7, 9), 2), ((17, 9), 3), ((17, 19), 0)])
def test_test_scores_are_those_of_whole_images(
    tile: tuple[int, int], margin: int, tmp_path: Path
) -> None:
    """Of a margin a tile's test targets hold nothing, its training targets all of the image; beyond
    an image that is smaller than a tile both hold nothing."""
    text = TWO + f'tile = {list(tile)}\nmargin = {margin}\ntest = ["c", "d"]'
    data = datasets.load("masks", write_directory(described(tree(), text), tmp_path))
    plain = TWO + 'test = ["c", "d"]'
    whole = datasets.load("masks", write_directory(described(tree(), plain), tmp_path))
    _covers_once(data.test, whole.test)
    first, image = data.test.targets[0], whole.test.targets[0][: tile[0], : tile[1]]
    own = [side - margin if side < length else length for side, length in zip(tile, SIZE)]  # noqa: B905
    assert np.array_equal(first[: own[0], : own[1]], image[: own[0], : own[1]])
    assert (first[own[0] :] == 255).all() and (first[:, own[1] :] == 255).all()
    trained, there = data.train.targets[0], whole.train.targets[0][: tile[0], : tile[1]]
    assert np.array_equal(trained[: len(there), : there.shape[1]], there)
    beyond = data.train.images[0][len(there) :]
    assert (beyond == 128).all() and (trained[len(there) :] == 255).all()
    small = [note for note in data.notes if "smaller than a tile" in note]
    assert len(small) == (tile[0] > SIZE[0])


@pytest.mark.parametrize("values", [(0, 255), (0, 1)])
def test_two_numbers_need_no_description(values: tuple[int, int], tmp_path: Path) -> None:
    data = datasets.load("masks", write_directory(tree("labels", values), tmp_path), (7, 5))
    assert data.class_names == ("background", "foreground")
    assert data.input_shape == (7, 5, 3)
    assert set(np.unique(data.train.targets)) == {0, 1}
    assert len(data.test.images) == 1


def turned(content: bytes) -> bytes:
    """Return an image that is to be turned by a quarter to be upright."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.open(io.BytesIO(content)).save(file, "PNG", exif=exif)
    return file.getvalue()


def test_masks_are_those_of_upright_photos(tmp_path: Path) -> None:
    files = described(tree(), TWO)
    both = {k: turned(v) if k.endswith("png") else v for k, v in files.items()}
    data = datasets.load("masks", write_directory(both, tmp_path / "1"))
    assert data.train.images.shape[1:3] == data.train.targets.shape[1:] == SIZE[::-1]
    assert any("5 photos turned upright as EXIF says; masks are" in note for note in data.notes)
    plain = datasets.load("masks", write_directory(files, tmp_path / "0"))
    upright = np.rot90(plain.train.targets, -1, (1, 2))
    np.testing.assert_array_equal(np.sort(upright, 0), np.sort(data.train.targets, 0))
    images = {k: turned(v) if "/images/" in k else v for k, v in files.items()}
    with pytest.raises(UserError, match="got 13x11, expected 11x13, turned as EXIF says"):
        datasets.load("masks", write_directory(images, tmp_path / "2"))


def test_bits_are_numbers(tmp_path: Path) -> None:
    files = tree(values=(0, 1))
    for name in NAMES:
        file = io.BytesIO()
        drawn = np.asarray(Image.open(io.BytesIO(files[f"all/masks/{name}.png"])))
        Image.fromarray(drawn.astype(bool)).save(file, "PNG")
        files[f"all/masks/{name}.png"] = file.getvalue()
    found = datasets.load("masks", write_directory(files, tmp_path))
    assert set(np.unique(found.train.targets)) == {0, 1}


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_greys_in_colour_and_in_16_bits_are_numbers(tmp_path: Path) -> None:
    files = described(tree(), TWO + 'test = ["e"]')
    plain = datasets.load("masks", write_directory(files, tmp_path / "0"))
    forms = ("RGB", "RGBA", "LA", "I;16")
    for name, form in zip(NAMES, forms, strict=False):
        drawn = Image.open(io.BytesIO(files[f"all/masks/{name}.png"]))
        pixels = np.asarray(drawn if form == "I;16" else drawn.convert(form))
        files[f"all/masks/{name}.png"] = png(pixels.astype(np.uint16) if form == "I;16" else pixels)
    found = datasets.load("masks", write_directory(files, tmp_path / "1"))
    assert np.array_equal(found.train.targets, plain.train.targets)


@pytest.mark.parametrize("folders", [("train", "test"), ("training", "valid"), ("test", "val")])
def test_splits_may_be_folders(folders: tuple[str, str], tmp_path: Path) -> None:
    """Of test/ and val/ the second trains; names may be equal in both."""
    files = described(tree(), TWO)
    parts: Tree = {"all/masks.toml": files["all/masks.toml"]}
    for folder, names in zip(folders, ("abc", "de"), strict=True):
        for new, name in enumerate(names):
            for kind in ("images", "masks"):
                parts[f"all/{folder}/{kind}/{new}.png"] = files[f"all/{kind}/{name}.png"]
    found = datasets.load("masks", write_directory(parts, tmp_path))
    counts = len(found.train.images), len(found.test.images)
    assert counts == ((2, 3) if folders[0] == "test" else (3, 2))
    stored = np.asarray(Image.open(io.BytesIO(parts[f"all/{folders[1]}/images/0.png"])))
    other = found.train if folders[0] == "test" else found.test
    assert np.array_equal(other.images[0], stored)


def test_masks_that_count_nowhere_are_refused_and_absent_classes_are_spoken_of(
    tmp_path: Path,
) -> None:
    text = TWO + 'test = ["b"]'
    data = datasets.load("masks", write_directory(described(tree(), text), tmp_path / "1"))
    assert of(data.task).oddities(data) == ()
    files = described(tree(), text) | {"all/masks/b.png": encode(np.full(SIZE, 7, np.uint8))}
    data = datasets.load("masks", write_directory(files, tmp_path / "2"))
    assert of(data.task).oddities(data) == ("no test mask has a position of sky",)
    files |= {"all/masks/b.png": encode(np.full(SIZE, 255, np.uint8))}
    data = datasets.load("masks", write_directory(files, tmp_path / "3"))
    with pytest.raises(UserError, match=r"test\.targets count nowhere; got 255 everywhere"):
        of(data.task).check_data(data)


def without(name: str) -> Callable[[Tree], Tree]:
    return lambda files: {key: value for key, value in files.items() if name not in key}


BROKEN: list[tuple[str, Callable[[Tree], Tree], str]] = [
    ("no masks", without("/masks/"), r"no images, or no masks; got all/"),
    ("alone", without("masks/b"), r"without a partner.*got all/images/b\.png"),
    (
        "other size",
        lambda files: files | {"all/masks/b.png": encode(np.zeros((11, 13), np.uint8))},
        r"masks/b\.png: the mask is not as large as its image; got 11x13, expected 13x11",
    ),
    (
        "colours",
        lambda files: files | {"all/masks/b.png": encode(np.eye(3, dtype=np.uint8)[None])},
        r"masks/b\.png: an image of colours",
    ),
    (
        "16 bits",
        lambda files: files | {"all/masks/b.png": png(np.full(SIZE, 256, np.uint16))},
        r"masks/b\.png: numbers beyond 255, .*; got pixels of the kind I;16, up to 256",
    ),
    (
        "classes twice",
        lambda files: described(files, 'classes = ["a", "b", "a"]'),
        r"classes: not acceptable; got a, expected names that differ",
    ),
    (
        "large values",
        lambda files: described(files, 'classes = ["a", "b"]\nvalues = [0, 256]'),
        r"values and ignore: not acceptable; got 0, 256, -1, expected numbers of 0\.\.255",
    ),
    (
        "ignored class",
        lambda files: described(files, 'classes = ["a", "b"]\nignore = 1'),
        r"ignore: not acceptable; got 1, expected a number of no class",
    ),
    ("no image", lambda files: files | {"all/masks/b.png": b"x"}, r"b\.png: not a readable image"),
    (
        "no class",
        lambda files: files | {"all/masks/b.png": encode(np.full(SIZE, 9, np.uint8))},
        r"mask of b: numbers that are no class; got 9, expected 0 sky, 7 road",
    ),
    ("undescribed", without("masks.toml"), r"numbers that are no class; got 7, expected 0 back"),
    (
        "values",
        lambda files: described(files, 'classes = ["a", "b"]\nvalues = [1]'),
        r"masks\.toml, values: not acceptable; got 1 values, 2 classes",
    ),
    ("tile", lambda files: described(files, TWO + "tile = [14]"), r"tile: not acc.*got \[14\]"),
    (
        "margin",
        lambda files: described(files, TWO + "tile = [9, 6]\nmargin = 3"),
        r"margin: not acceptable; got 3, expected 0\.\.2, less than half a tile",
    ),
    (
        "margin alone",
        lambda files: described(files, TWO + "margin = 3"),
        r"margin: not acceptable; got 3, expected tile beside it",
    ),
    (
        "test",
        lambda files: described(files, TWO + 'test = ["z"]'),
        r"masks\.toml, test: no such group; got z",
    ),
    ("key", lambda files: described(files, "clases = []"), r"unknown key.*Did you mean 'classes'"),
    (
        "mixed",
        lambda files: (
            files
            | {f"all/{f}/b.png": encode(np.zeros((7, 5), np.uint8)) for f in ("images", "masks")}
        ),
        r"images of mixed size; got 13x11, 7x5",
    ),
]


@pytest.mark.parametrize(
    ("change", "message"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN]
)
def test_what_does_not_belong_together_is_refused(
    change: Callable[[Tree], Tree], message: str, tmp_path: Path
) -> None:
    write_directory(change(described(tree(), TWO)), tmp_path)
    with pytest.raises(UserError, match=message):
        datasets.load("masks", tmp_path)
