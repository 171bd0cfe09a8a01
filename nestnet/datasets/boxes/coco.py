"""Images with boxes as COCO lays them out: JSON with images, annotations and categories."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

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
    size_of,
    split_of,
)
from nestnet.datasets.boxes._assemble import load_boxes

TASK = "detection"
ONE, RENUMBER = "one of each", "Give every image, annotation and category an id of its own"
_KEYS = ("images", "annotations", "categories")


def load(data: Path | None, resize: tuple[int, int] | None, test_share: float) -> Dataset:
    """Load images with COCO annotations; see :func:`nestnet.datasets.boxes._assemble.load_boxes`.

    Every JSON file with images, annotations and categories is read; train, val and test in its name
    or folder say whose images it names. Where some are called instances..., only they
    are. Boxes of crowds need not be found.
    """
    return load_boxes("coco", read, data, resize, test_share)


def read(source: Source) -> Annotations:
    """Return what the JSON files of ``source`` say.

    Raises:
        UserError: no such file, unreadable JSON, missing or wrong entries, an id that occurs twice,
            files with different categories.
    """
    names = source.names()
    wanted = frozenset(n for n in names if PurePosixPath(n).suffix.lower() == ".json")
    tables: dict[str, dict[str, Any]] = {}
    skipped: dict[str, str] = {}
    for name, content in source.files(wanted):
        table = _parsed(f"{source.path}/{name}", content)
        if isinstance(table, dict) and all(isinstance(table.get(key), list) for key in _KEYS):
            tables[name] = table
        else:
            skipped[name] = ", ".join(table) if isinstance(table, dict) else type(table).__name__
    boxes_only = {n: table for n, table in tables.items() if _is_of_boxes(n)}
    tables = boxes_only or tables
    check_skipped(str(source.path), skipped, tables, f"the lists {', '.join(_KEYS)}")
    if not tables:
        raise UserError(
            str(source.path),
            "no annotations",
            got=listing_of(sorted(wanted)) or "no JSON file",
            expected="a JSON file with the lists images, annotations and categories",
            action="Check the path, or choose the data set of another layout",
        )
    there, problems = Files(names), Problems()
    classes = _classes(source, tables, problems)
    found: list[Annotated] = []
    for name, table in sorted(tables.items()):
        split = split_of(name) if len(tables) > 1 else ""
        where = f"{source.path}/{name}"
        entries = [entry for entry in table["images"] if isinstance(entry, Mapping)]
        files = _files(source, name, table["images"], there, problems)
        boxes: dict[Any, list[Box]] = defaultdict(list)
        seen: set[Any] = set()
        for entry in table["annotations"]:
            at = f"{where}: annotation {_id(entry)}"
            if _id(entry) is not None and _id(entry) in seen:
                problems.add(at, "an id that occurs twice", _id(entry), ONE, RENUMBER)
            seen.add(_id(entry))
            box = _box(at, entry, classes, files, problems)
            if box is not None:
                boxes[entry["image_id"]].append(box)
        sizes = {_id(entry): size_of(entry.get("width"), entry.get("height")) for entry in entries}
        found += [
            Annotated(file, tuple(boxes[key]), split, sizes[key], f"{where}: image {key}")
            for key, file in files.items()
        ]
    problems.refuse()
    return Annotations(tuple(found), tuple(classes.values()))


def _is_of_boxes(name: str) -> bool:
    """Tell whether a file is called as COCO's own are that hold the boxes of all classes; beside
    them lie person_keypoints_... and others, of the same images."""
    return PurePosixPath(name).name.startswith("instances")


def _parsed(where: str, content: bytes) -> Any:
    try:
        return json.loads(content)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise UserError(
            f"{where}:{line}",
            "not readable JSON",
            got=getattr(error, "msg", None) or str(error),
            expected="a complete JSON file",
            action="Repair or remove the file",
        ) from error


def _id(entry: Any) -> Any:
    found = entry.get("id") if isinstance(entry, Mapping) else None
    return found if isinstance(found, int | str) else None


def _classes(
    source: Source, tables: Mapping[str, dict[str, Any]], problems: Problems
) -> dict[Any, str]:
    """Return category id -> name, by id; refuse files that differ."""
    first: dict[Any, str] = {}
    for name, table in sorted(tables.items()):
        where = f"{source.path}/{name}"
        found: dict[Any, str] = {}
        for entry in table["categories"]:
            key = _id(entry)
            if key is None or not isinstance(entry.get("name"), str):
                problems.add(where, "a category without id or name", entry, "both", "Complete it")
            elif key in found:
                problems.add(where, "a category id that occurs twice", key, ONE, RENUMBER)
            else:
                found[key] = entry["name"]
        ordered = dict(sorted(found.items(), key=lambda item: (str(type(item[0])), item[0])))
        first = first or ordered
        if ordered != first:
            problems.add(
                where,
                "other categories than in another file",
                listing_of([f"{k} {v}" for k, v in ordered.items()]),
                listing_of([f"{k} {v}" for k, v in first.items()]),
                "Write all files with the same list",
            )
    problems.refuse()
    return first


def _files(
    source: Source, table: str, entries: list[Any], there: Files, problems: Problems
) -> dict[Any, str]:
    """Return image id -> the name of its file in the data."""
    where = f"{source.path}/{table}"
    found: dict[Any, str] = {}
    for entry in entries:
        key = _id(entry)
        file = entry.get("file_name") if isinstance(entry, Mapping) else None
        if key is None or not isinstance(file, str):
            problems.add(where, "an image without id or file_name", entry, "both", "Complete it")
            continue
        at = f"{where}: image {key}"
        if key in found:
            problems.add(at, "an id that occurs twice", file, found[key], RENUMBER)
            continue
        found[key] = there.named(file, table, at, problems)
    return found


def _box(
    where: str, entry: Any, classes: Mapping[Any, str], files: Mapping[Any, str], problems: Problems
) -> Box | None:
    """Return the box of an annotation; None where it is wrong, which is now noted."""
    if not isinstance(entry, Mapping):
        problems.add(
            where, "an annotation that is no table", entry, "id, image_id, ...", "Remove it"
        )
        return None
    edges = entry.get("bbox")
    if not _are_edges(edges):
        problems.add(where, "no box", edges, "bbox: [left, top, width, height]", "Correct it")
        return None
    if entry.get("image_id") not in files:
        problems.add(
            where,
            "an image that is not in the list",
            entry.get("image_id"),
            "the id of an image",
            "Correct image_id, or add the image",
        )
        return None
    if entry.get("category_id") not in classes:
        problems.add(
            where,
            "a class that is not in the list",
            entry.get("category_id"),
            listing_of([f"{k} {v}" for k, v in classes.items()]),
            "Correct category_id, or add the category",
        )
        return None
    left, top, width, height = map(float, entry["bbox"])
    label = classes[entry["category_id"]]
    counts = not entry.get("iscrowd")
    return Box(label, left, top, left + width, top + height, where, counts)


def _are_edges(found: Any) -> bool:
    """Return whether ``found`` is a list of four finite numbers."""
    numbers = isinstance(found, list) and len(found) == 4
    return numbers and all(isinstance(v, int | float) and abs(v) < 1e9 for v in found)
