"""Images with boxes as YOLO lays them out: images/ and labels/ with a .txt each, and names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from PIL import Image

from codegen.errors import UserError
from nestnet.datasets._reading.source import Source, listing_of
from nestnet.datasets._types import Dataset
from nestnet.datasets.boxes._annotated import (
    Annotated,
    Annotations,
    Box,
    Problems,
    number_of,
    split_of,
)
from nestnet.datasets.boxes._assemble import load_boxes

TASK = "detection"
NAMES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names", "names.txt")
"""Files that may say what the classes are called, the first that is there."""


def load(data: Path | None, resize: tuple[int, int] | None, test_share: float) -> Dataset:
    """Load images with YOLO labels; see :func:`nestnet.datasets.boxes._assemble.load_boxes`.

    A line is the class's number and the box's middle, width and height as shares of the image's. An
    image without a file of labels has no box. Folders called train, val or test say the split.
    """
    return load_boxes("yolo", read, data, resize, test_share)


def read(source: Source) -> Annotations:
    """Return what the label files of ``source`` say.

    Raises:
        UserError: no images or names, labels without an image, a line that is no box, a class
            without a name.
    """
    names = [name for name in source.names() if not name.endswith("/")]
    listing = sorted(
        (NAMES.index(PurePosixPath(n).name), n) for n in names if PurePosixPath(n).name in NAMES
    )
    images = {
        _key(name): name
        for name in names
        if PurePosixPath(name).suffix.lower() in Image.registered_extensions()
    }
    labels = {
        _key(name): name
        for name in names
        if name.lower().endswith(".txt") and "labels" in PurePosixPath(name).parts
    }
    if not images or not labels or not listing:
        raise UserError(
            str(source.path),
            "no data in the layout of YOLO",
            got=f"{len(images)} images, {len(labels)} files in labels/, "
            f"{'a' if listing else 'no'} list of class names",
            expected="images/, labels/ and data.yaml or classes.txt",
            action="Check the path, or choose the data set of another layout",
        )
    file = listing[0][1]
    texts = dict(source.files(frozenset((*labels.values(), file))))
    classes = _class_names(f"{source.path}/{file}", texts[file])
    problems = Problems()
    for key in sorted(labels.keys() - images.keys()):
        problems.add(
            f"{source.path}/{labels[key]}",
            "missing image",
            "no image of this name",
            "the image that the labels are of",
            "Add the image, or remove the labels",
        )
    found = []
    for key, image in sorted(images.items(), key=lambda item: item[1]):
        name = labels.get(key)
        boxes: tuple[Box, ...] = ()
        if name is not None:
            lines = texts[name].decode("utf-8", "replace").splitlines()
            boxes = tuple(_boxes(f"{source.path}/{name}", lines, classes, problems))
        found.append(Annotated(image, boxes, split_of(str(PurePosixPath(image).parent))))
    problems.refuse()
    return Annotations(tuple(found), classes, relative=True)


def _key(name: str) -> str:
    """Return what an image and its labels have in common: their path without these two folders."""
    path = PurePosixPath(name)
    return "/".join(part for part in path.with_suffix("").parts if part not in ("images", "labels"))


def _boxes(
    where: str, lines: Iterable[str], classes: tuple[str, ...], problems: Problems
) -> Iterable[Box]:
    """Yield the boxes of one file of labels."""
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        place = f"{where}:{number}"
        numbers = [value for value in map(number_of, words) if value is not None]
        if len(words) != 5 or len(numbers) != 5 or not numbers[0].is_integer():
            problems.add(
                place,
                "a line that is no box",
                line.strip(),
                "class x y width height",
                "Correct or remove the line",
            )
            continue
        index, x, y, width, height = numbers
        if not 0 <= index < len(classes):
            problems.add(
                place,
                "a class that is not in the list",
                int(index),
                f"0..{len(classes) - 1}: {listing_of(classes)}",
                "Correct the number, or add the class to the list",
            )
            continue
        label = classes[int(index)]
        half_w, half_h = width / 2, height / 2
        yield Box(label, x - half_w, y - half_h, x + half_w, y + half_h, place)


def _class_names(where: str, content: bytes) -> tuple[str, ...]:
    """Return the class names of a list, or of the key ``names`` of a YAML file."""
    text = content.decode("utf-8", "replace")
    if not where.endswith((".yaml", ".yml")):
        found = [line.strip() for line in text.splitlines() if line.strip()]
    else:
        found = _yaml_names(text)
    if not found or len(set(found)) < len(found):
        raise UserError(
            where,
            "no list of different class names",
            got=listing_of(found) or "none",
            expected="names: [first, second], or a name a line",
            action="Correct the file",
        )
    return tuple(found)


def _yaml_names(text: str) -> list[str]:
    """Return what follows ``names:``, in brackets or a line each, with or without numbers."""
    lines = [re.sub(r"(^|\s)#.*", "", line) for line in text.splitlines()]
    begins = re.compile(r"names\s*:(.*)")
    at = next((i for i, line in enumerate(lines) if begins.match(line)), None)
    if at is None:
        return []
    rest = begins.sub(r"\1", lines[at]).strip()
    if rest[:1] in ("[", "{"):
        inside = " ".join([rest, *lines[at + 1 :]])[1:]
        words = re.split(r",", re.split(r"[\]}]", inside)[0])
    else:
        words = []
        for line in lines[at + 1 :]:
            if line.strip() and not re.match(r"\s|-", line):
                break
            words.append(line)
    items = [re.fullmatch(r"\s*(?:-\s+)?(?:(\d+)\s*:)?\s*(.*?)\s*", word) for word in words]
    pairs = [(item[1], item[2].strip("'\"")) for item in items if item is not None and item[2]]
    if pairs and all(number is not None for number, _ in pairs):
        pairs.sort(key=lambda pair: int(pair[0] or 0))
    return [name for _, name in pairs]
