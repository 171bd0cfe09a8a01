"""Images with boxes as YOLO lays them out: images/ and labels/ with a .txt each, and names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from PIL import Image

from codegen.errors import UserError
from nestnet.datasets._reading.source import Source, listing_of
from nestnet.datasets._types import Dataset
from nestnet.datasets.boxes import _yaml
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
    image without a file of labels has no box. What data.yaml calls train, val and test, folders or
    lists of images, is the split; without it the names of folders say it.
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
    pictures = [
        name
        for name in names
        if PurePosixPath(name).suffix.lower() in Image.registered_extensions()
    ]
    images = {_key(name): name for name in pictures}
    labels = {
        _key(name): name
        for name in names
        if name.lower().endswith(".txt")
        and "labels" in PurePosixPath(name).parts
        and PurePosixPath(name).name not in NAMES
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
    for picture in pictures:
        other = images[_key(picture)]
        if other != picture:
            problems.add(
                f"{source.path}/{picture}",
                "two images of one name",
                other,
                "names that differ before the suffix, as labels do",
                "Rename or remove one of them",
            )
    for key in sorted(labels.keys() - images.keys()):
        problems.add(
            f"{source.path}/{labels[key]}",
            "missing image",
            "no image of this name",
            "the image that the labels are of",
            "Add the image, or remove the labels",
        )
    splits, notes = _named_splits(source, file, texts[file], sorted(images.values()))
    found = []
    for key, image in sorted(images.items(), key=lambda item: item[1]):
        if splits and image not in splits:
            continue
        name = labels.get(key)
        boxes: tuple[Box, ...] = ()
        if name is not None:
            lines = texts[name].decode("utf-8-sig", "replace").splitlines()
            boxes = tuple(_boxes(f"{source.path}/{name}", lines, classes, problems))
        split = splits.get(image) or split_of(str(PurePosixPath(image).parent))
        found.append(Annotated(image, boxes, split))
    problems.refuse()
    bare = sum(_key(each.image) not in labels for each in found)
    if bare:
        told = f"{bare} of {len(found)} images have no file of labels: taken for images without box"
        notes = (*notes, told)
    return Annotations(tuple(found), classes, relative=True, notes=notes)


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
            is_polygon = len(numbers) == len(words) > 6 and len(words) % 2
            problems.add(
                place,
                "a polygon, not a box" if is_polygon else "a line that is no box",
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


def _named_splits(
    source: Source, file: str, content: bytes, images: list[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return image -> split as the YAML ``file`` says, and what to say of it; empty where it says
    nothing, or names what is not there."""
    text = content.decode("utf-8-sig", "replace") if _is_yaml(file) else ""
    places = {split: _yaml.values_of(text, split) for split in ("train", "val", "test")}
    wanted = [place for found in places.values() for place in found]
    if not wanted:
        return {}, ()
    lists = [_same_end(place, source.names()) for place in wanted if place.endswith(".txt")]
    texts = dict(source.files(frozenset(name for name in lists if name)))
    members = {
        split: {image for place in found for image in _members(place, texts, images)}
        for split, found in places.items()
    }
    notes = [
        f"{file} says {split}: {listing_of(found)}, where no image is"
        for split, found in places.items()
        if found and not members[split]
    ]
    if not members["train"]:
        return {}, (*notes, "split by the names of folders")
    splits = {image: split for split in reversed(places) for image in members[split]}
    twice = len(members["train"] & (members["val"] | members["test"]))
    left = len(images) - len(splits)
    if twice:
        notes.append(f"{twice} images that {file} trains and tests on: taken as training images")
    if left:
        notes.append(f"{left} images are in nothing that {file} names: not read")
    return splits, tuple(notes)


def _members(place: str, texts: Mapping[str, bytes], images: list[str]) -> Iterable[str]:
    """Yield the images in the folder, or of the list, that ``place`` names."""
    if place.endswith(".txt"):
        name = _same_end(place, texts)
        lines = texts[name].decode("utf-8-sig", "replace").splitlines() if name else []
        ends: dict[str, list[str]] = defaultdict(list)
        for image in images:
            ends[PurePosixPath(image).name].append(image)
        for line in (each.strip().replace("\\", "/") for each in lines):
            found = _same_end(line, ends.get(PurePosixPath(line).name, ()))
            if found:
                yield found
        return
    folders = {str(above) for image in images for above in PurePosixPath(image).parents}
    folder = _same_end(place, folders)
    if folder:
        yield from (image for image in images if image.startswith(f"{folder}/"))


def _same_end(place: str, names: Iterable[str]) -> str:
    """Return the one of ``names`` that ends as ``place`` does, as far up as any does; of several
    the shortest; "" where not even the last part is the same."""
    wanted = [part for part in PurePosixPath(place.replace("\\", "/")).parts if part != ".."]
    best, found = 0, ""
    for name in sorted(names, key=lambda each: (len(each), each)):
        same = 0
        for a, b in zip(reversed(wanted), reversed(PurePosixPath(name).parts), strict=False):
            if a != b:
                break
            same += 1
        if same > best:
            best, found = same, name
    return found


def _is_yaml(file: str) -> bool:
    return file.endswith((".yaml", ".yml"))


def _class_names(where: str, content: bytes) -> tuple[str, ...]:
    """Return the class names of a list, or of the key ``names`` of a YAML file."""
    text = content.decode("utf-8-sig", "replace")
    if not _is_yaml(where):
        found, count = [line.strip() for line in text.splitlines() if line.strip()], []
    else:
        found, count = _yaml.values_of(text, "names"), _yaml.values_of(text, "nc")
    if not found or len(set(found)) < len(found):
        raise UserError(
            where,
            "no list of different class names",
            got=listing_of(found) or "none",
            expected="names: [first, second], or a name a line",
            action="Correct the file",
        )
    if count and count != [str(len(found))]:
        raise UserError(
            where,
            "another number of class names than nc says",
            got=f"{len(found)}: {listing_of(found)}",
            expected=f"nc: {count[0]}",
            action="Correct the file",
        )
    return tuple(found)
