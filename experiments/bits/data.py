"""Real inputs of every task, made of four public data sets."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from experiments.tasks import data as public
from nestnet import datasets

CELLS_SIZE = (64, 80)
"""Height and width of photos of blood cells where boxes are found in them."""
SMALL_SIZE = (48, 64)
"""The same where numbers and labels are."""
MEMBRANES_SIZE, TILE = 128, 32
"""Side of a section, and of the pieces that it is cut into."""
BOARDS, BOARD_SIDE = 60, 320
"""Circuit boards that are looked at, and what their sides are reduced to."""
MARGIN = 2
"""Pixels of a defect in a piece from which on it is odd."""

activity = public.activity


def cells(source: Path) -> Path:
    """Return the folder of blood cells in PASCAL VOC's layout."""
    return next(path.parent for path in sorted(source.rglob("ImageSets")))


def labels(source: Path, path: Path) -> Path:
    """Write arrays of blood cells: the photos, and which kinds of cells are in each."""
    return _arrays(source, path, lambda counts: (counts > 0).astype(np.uint8))


def counts(source: Path, path: Path) -> Path:
    """Write arrays of blood cells: the photos, and how many cells of each kind are in each."""
    return _arrays(source, path, lambda counts: counts.astype(np.float32))


def _arrays(source: Path, path: Path, of_counts: Any) -> Path:
    loaded = datasets.load("voc", cells(source), resize=SMALL_SIZE)
    names = loaded.class_names
    arrays: dict[str, Any] = {"class_names": np.array(names)}
    for word, split in (("train", loaded.train), ("test", loaded.test)):
        found = np.stack([(split.targets[..., 0] == k).sum(axis=1) for k in range(len(names))], 1)
        arrays |= {f"x_{word}": np.asarray(split.images), f"y_{word}": of_counts(found)}
    np.savez(path, **arrays)
    return path


def membranes(source: Path, folder: Path) -> Path:
    """Put sections of nerve tissue and their masks beside a description."""
    for kind in ("images", "labels"):
        files = sorted(next(p for p in sorted(source.rglob(kind)) if p.is_dir()).glob("*.png"))
        place = folder / kind.replace("labels", "masks")
        place.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy(file, place / file.name)
    (folder / "masks.toml").write_text(f"tile = [{TILE}, {TILE}]\n", encoding="ascii")
    return folder


def boards(source: Path, path: Path) -> Path:
    """Write arrays of pieces of circuit boards: whole ones are usual, those with a defect odd."""
    images = sorted(next(p for p in sorted(source.rglob("images")) if p.is_dir()).glob("*.png"))
    chosen = images[:: max(1, len(images) // BOARDS)][:BOARDS]
    pieces = [piece for image in chosen for piece in _pieces(image)]
    x, odd = (np.stack(column) for column in zip(*pieces, strict=True))
    y = np.where(odd, "odd", "usual")
    group = np.repeat(np.arange(len(chosen)), len(pieces) // len(chosen))
    test = group % 5 == 0
    np.savez(path, x_train=x[~test], y_train=y[~test], x_test=x[test], y_test=y[test])
    return path


def _pieces(image: Path) -> Iterator[tuple[NDArray[np.uint8], bool]]:
    """Yield pieces (TILE, TILE, 1) of a board, and whether there is a defect in each."""
    with Image.open(image) as opened:
        scale = opened.width // BOARD_SIDE
        grey = np.asarray(opened.convert("L").reduce(scale))
    defects = np.zeros(grey.shape, bool)
    with (image.parent.parent / "labels" / f"{image.stem}.txt").open(encoding="ascii") as file:
        for row in csv.reader(file, delimiter=" "):
            left, top, right, bottom = (int(number) // scale for number in row[:4])
            defects[top:bottom, left:right] = True
    for y in range(0, len(grey), TILE):
        for x in range(0, grey.shape[1], TILE):
            part = slice(y, y + TILE), slice(x, x + TILE)
            yield grey[part][..., None], bool(defects[part].sum() > MARGIN)
