"""Images with boxes in tables: train.csv and test.csv, or one, a line a box."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from codegen.errors import UserError
from nestnet.datasets._reading.source import Source, listing_of
from nestnet.datasets._types import Dataset
from nestnet.datasets.boxes._annotated import (
    Annotated,
    Annotations,
    Box,
    Files,
    Problems,
    check_skipped,
    number_of,
    size_of,
    split_of,
)
from nestnet.datasets.boxes._assemble import load_boxes

TASK = "detection"
COLUMNS = {
    "image": ("image", "filename", "file", "path"),
    "class": ("class", "label", "name"),
    "left": ("xmin", "x1", "left"),
    "top": ("ymin", "y1", "top"),
    "right": ("xmax", "x2", "right"),
    "bottom": ("ymax", "y2", "bottom"),
}
"""What a column may be called."""
SIZE = ("width", "height")
"""Columns that may say how large the image is."""
EDGES = ("left", "top", "right", "bottom")


def load(data: Path | None, resize: tuple[int, int] | None, test_share: float) -> Dataset:
    """Load images with boxes in tables; see :func:`nestnet.datasets.boxes._assemble.load_boxes`.

    Edges are pixels from 0; columns width and height say of how large an image. A line with an
    image alone is an image without a box. Classes are all names that occur, sorted. Several tables
    are told apart by train, val and test in their names.
    """
    return load_boxes("csv", read, data, resize, test_share)


def read(source: Source) -> Annotations:
    """Return what the tables of ``source`` say.

    Raises:
        UserError: no table with the columns, a line that is no box, a table of no split beside
            others.
    """
    names = [name for name in source.names() if not name.endswith("/")]
    tables = frozenset(n for n in names if PurePosixPath(n).suffix.lower() == ".csv")
    files, problems = Files(names), Problems()
    boxes: dict[tuple[str, str], list[Box]] = defaultdict(list)
    sizes: dict[tuple[str, str], tuple[tuple[int, int] | None, str]] = {}
    heads: dict[str, str] = {}
    for table, content in sorted(source.files(tables)):
        text = content.decode("utf-8-sig", "replace")
        first = text.partition("\n")[0]
        rows = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count))
        head = [word.strip().casefold() for word in next(rows, [])]
        places = {key: _place(head, words) for key, words in COLUMNS.items()}
        if None in places.values():
            heads[table] = ", ".join(head)
            continue
        split = split_of(table) if len(tables) > 1 else ""
        for row in rows:
            if not any(word.strip() for word in row):
                continue
            where = f"{source.path}/{table}:{rows.line_num}"
            at = {key: index for key, index in places.items() if index is not None}
            if any(word.strip() for word in row[len(head) :]):
                problems.add(
                    where,
                    "more cells than the first line names",
                    ",".join(row),
                    ",".join(head),
                    "Write decimal points, and quote names that hold a comma",
                )
                continue
            image, box = _box(where, row, at, problems)
            key = (files.named(image, table, where, problems), split)
            boxes[key] += [] if box is None else [box]
            said = (row[head.index(n)] if n in head[: len(row)] else "" for n in SIZE)
            sizes.setdefault(key, (size_of(*said), where))
    problems.refuse()
    check_skipped(str(source.path), heads, tables - set(heads), f"the columns {', '.join(COLUMNS)}")
    if not boxes:
        raise UserError(
            str(source.path),
            "no table of boxes",
            got="; ".join(f"{k}: {v}" for k, v in heads.items()) or listing_of(names) or "nothing",
            expected="a .csv with the columns image, class, xmin, ymin, xmax, ymax",
            action="Check the path, or write the first line with these names",
        )
    found = tuple(Annotated(key[0], tuple(b), key[1], *sizes[key]) for key, b in boxes.items())
    classes = sorted({box.label for image in found for box in image.boxes})
    return Annotations(found, tuple(classes))


def _place(head: list[str], words: tuple[str, ...]) -> int | None:
    return next((head.index(word) for word in words if word in head), None)


def _box(
    where: str, row: list[str], places: Mapping[str, int], problems: Problems
) -> tuple[str, Box | None]:
    """Return the image of a line and its box; None without one, or where it is wrong."""
    words = {key: row[at].strip() if at < len(row) else "" for key, at in places.items()}
    if not any(words[key] for key in ("class", *EDGES)):
        return words["image"], None
    numbers = [value for value in (number_of(words[key]) for key in EDGES) if value is not None]
    if len(numbers) < 4 or not words["class"] or not words["image"]:
        problems.add(
            where,
            "a line that is no box",
            ",".join(row),
            "image, class and four numbers, or an image alone",
            "Correct or remove the line",
        )
        return words["image"], None
    left, top, right, bottom = numbers
    return words["image"], Box(words["class"], left, top, right, bottom, where)
