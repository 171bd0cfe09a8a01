"""Images with boxes as PASCAL VOC lays them out: JPEGImages/, Annotations/*.xml, ImageSets/."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from codegen.errors import UserError
from nestnet.datasets._reading.source import Source, listing_of
from nestnet.datasets._types import Dataset
from nestnet.datasets.boxes import _xml
from nestnet.datasets.boxes._annotated import (
    Annotated,
    Annotations,
    Box,
    Files,
    Problems,
    number_of,
    size_of,
    split_of,
)
from nestnet.datasets.boxes._assemble import load_boxes

TASK = "detection"
LISTS = {"train": "train", "val": "val", "test": "test"}
"""Names of lists in ImageSets/Main and the split of their images; others, as one per class, are not
read."""
NAMES = ("classes.txt", "labels.txt")
"""Files beside the folders that may list the classes, one a line."""


def load(data: Path | None, resize: tuple[int, int] | None, test_share: float) -> Dataset:
    """Load images with VOC annotations; see :func:`nestnet.datasets.boxes._assemble.load_boxes`.

    Lists in ImageSets/Main say the split, or without them folders called train, val or test.
    Coordinates count from 1, and right and lower edges are the last pixels inside, so that a box is
    from xmin - 1 to xmax. Objects marked difficult need not be found. Classes are those of a file
    classes.txt or labels.txt, in its order, or all names that occur, sorted.
    """
    return load_boxes("voc", read, data, resize, test_share)


def read(source: Source) -> Annotations:
    """Return what the XML files and lists of ``source`` say.

    Raises:
        UserError: no annotations, unreadable XML, missing numbers or names, a list that names what
            is not there.
    """
    names = source.names()
    xml = [name for name in names if PurePosixPath(name).suffix.lower() == ".xml"]
    if not xml:
        raise UserError(
            str(source.path),
            "no annotations",
            got=listing_of(names) or "an empty folder",
            expected="Annotations/<image>.xml",
            action="Check the path, or choose the data set of another layout",
        )
    lists = [name for name in names if _split_of_list(name)]
    listing = [name for name in names if PurePosixPath(name).name in NAMES]
    texts = dict(source.files(frozenset((*xml, *lists, *listing[:1]))))
    problems = Problems()
    splits, notes = _splits(source, {name: texts[name] for name in lists}, xml, problems)
    images = [name for name in names if not name.endswith("/") and name not in xml]
    files = Files(images)
    by_stem = {path.stem: path.name for path in map(PurePosixPath, images)}
    found = []
    for name in xml:
        stem = PurePosixPath(name).stem
        if splits and stem not in splits:
            continue
        where = f"{source.path}/{name}"
        root = _xml.read(where, texts[name])
        image = root.word("filename") or f"{stem}.jpg"
        if image not in files:
            image = by_stem.get(stem, image)
        here = files.named(image, name, where, problems)
        boxes = tuple(_boxes(where, root, problems))
        split = splits[stem] if splits else split_of(str(PurePosixPath(name).parent))
        about = root.first("size")
        size = None if about is None else size_of(about.word("width"), about.word("height"))
        found.append(Annotated(here, boxes, split, size, where))
    problems.refuse()
    classes = _listed(texts[listing[0]]) if listing else ()
    occurring = sorted({box.label for image in found for box in image.boxes})
    return Annotations(tuple(found), classes or tuple(occurring), notes=notes)


def _split_of_list(name: str) -> str:
    path = PurePosixPath(name)
    in_lists = path.parent.name == "Main" and path.parent.parent.name == "ImageSets"
    return LISTS.get(path.stem, "") if in_lists and path.suffix == ".txt" else ""


def _splits(
    source: Source, lists: dict[str, bytes], xml: Iterable[str], problems: Problems
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return stem -> split of the images that lists name, and how many others there are."""
    stems = {PurePosixPath(name).stem for name in xml}
    found: dict[str, str] = {}
    for name, content in sorted(lists.items()):
        for number, line in enumerate(content.decode("utf-8-sig", "replace").splitlines(), start=1):
            words = line.split()
            if not words:
                continue
            where, split = f"{source.path}/{name}:{number}", _split_of_list(name)
            if words[0] not in stems:
                problems.add(
                    where,
                    "an image without an annotation",
                    words[0],
                    f"Annotations/{words[0]}.xml, with no object where there is no box",
                    "Add the annotation, or remove the line",
                )
            elif words[0] in found:
                problems.add(
                    where,
                    "an image that is listed twice",
                    words[0],
                    f"once, as in {found[words[0]]}",
                    "Remove one of the lines",
                )
            else:
                found[words[0]] = split
    left = len(stems - set(found)) if found else 0
    notes = (f"{left} annotated images are in no list: not read",) if left else ()
    return found, notes


def _boxes(where: str, root: _xml.Element, problems: Problems) -> Iterable[Box]:
    """Yield the boxes of one file."""
    for item in root.all("object"):
        place = f"{where}:{item.line}"
        label, edges = item.word("name"), item.first("bndbox")
        values = [
            None if edges is None else number_of(edges.word(key))
            for key in ("xmin", "ymin", "xmax", "ymax")
        ]
        numbers = [value for value in values if value is not None]
        if not label or len(numbers) < 4:
            problems.add(
                place,
                "an object without name or box",
                f"name {label!r}, box {values}",
                "<name> and <bndbox> with xmin, ymin, xmax, ymax",
                "Complete or remove the object",
            )
            continue
        left, top, right, bottom = numbers
        counts = item.word("difficult").casefold() not in ("1", "true")  # may be "Unspecified"
        yield Box(label, left - 1, top - 1, right, bottom, place, counts)


def _listed(content: bytes) -> tuple[str, ...]:
    lines = (line.strip() for line in content.decode("utf-8-sig", "replace").splitlines())
    return tuple(line for line in lines if line)
