"""Images and targets of a data set of boxes, from what its annotations say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codegen.errors import UserError
from nestnet.datasets._reading.cache import Decoded, cached
from nestnet.datasets._reading.images import (
    Picture,
    check_depth,
    decode,
    letterbox,
    turned_upright,
)
from nestnet.datasets._reading.source import Source, listing_of, track
from nestnet.datasets._split import SHARE, content_hash, refuse_share
from nestnet.datasets._types import Dataset, Split, Uint8Array
from nestnet.datasets.boxes._annotated import Annotated, Annotations, Box, Problems, settled

SPLITS = ("train", "test")
BEYOND = 1.0
"""Pixels by which a box may reach out of its image, as some programs round; it is cut there."""
SMALLEST = 1.0
"""Width and height, in pixels of the network's input, below which a box is left out."""
UNUSED = -1.0
"""The class in rows of targets that hold no box."""

Float32Array = NDArray[np.float32]
Reader = Callable[[Source], Annotations]


def load_boxes(
    kind: str,
    read: Reader,
    data: Path | None,
    resize: tuple[int, int] | None,
    test_share: float,
) -> Dataset:
    """Load a data set of boxes; decoded once, then read from the cache.

    Images are scaled to ``resize`` as a whole, their proportions kept, what is left over being
    mid-grey. Targets are float32 (n, most boxes, 5): class, left, top, right, bottom in pixels of
    the scaled image; rows without a box have the class -1, boxes that need not be found -2 - class.

    Args:
        kind: name of the data set.
        read: reads its annotations.
        data: directory or archive.
        resize: height and width; None where all images have one size already.
        test_share: of test images, drawn by the hash of their files where nothing names any.

    Raises:
        UserError: no ``data``, annotations or images that cannot be used, each with file and line;
            images of mixed size without ``resize``; ``test_share`` beside test images.
    """
    if data is None:
        raise UserError(
            "--data",
            f"the data set {kind} needs a place to read from",
            got="nothing",
            expected="a directory or archive with images and their boxes",
            action="Add --data DIR or --data ARCHIVE",
        )
    source = Source(data)
    found = cached(
        kind,
        f"{source.fingerprint()}\0{test_share}",
        resize,
        lambda: assemble(source, read(source), resize, test_share),
    )
    return Dataset(
        name=kind,
        title=data.resolve().name.split(".")[0],
        train=found.train,
        test=found.test,
        class_names=found.class_names,
        default_augment="flip-crop",
        notes=found.notes,
        test_share=test_share,
        task="detection",
    )


def assemble(
    source: Source, said: Annotations, resize: tuple[int, int] | None, test_share: float
) -> Decoded:
    """Return both splits of ``source``, of which the annotations are ``said``.

    Raises:
        UserError: as :func:`load_boxes`.
    """
    images, notes = settled(said.images)
    _check_images(source, images)
    _check_pixels(said)
    by_name = {image.image: image for image in images}
    pixels: dict[str, Uint8Array] = {}
    rows: dict[str, list[tuple[float, ...]]] = {}
    hashes: dict[str, int] = {}
    problems, dropped, pictures, turned = Problems(), Counter[str](), {}, 0
    files = source.files(frozenset(by_name))
    for name, content in track(files, "Decoding images", total=len(by_name)):
        picture = decode(f"{source.path}/{name}", content, None)
        height, width = picture.pixels.shape[:2]
        _check_size(by_name[name], picture, problems)
        turned += picture.is_turned
        size = (width, height) * 2 if said.relative else (1, 1, 1, 1)
        boxes = [
            (box, tuple(a * b for a, b in zip(box.edges, size, strict=True)))
            for box in by_name[name].boxes
        ]
        kept = _checked(boxes, (height, width), said.class_names, problems, dropped)
        pixels[name], scale = letterbox(picture.pixels, resize or (height, width))
        pictures[f"{source.path}/{name}"] = replace(picture, pixels=pixels[name])
        rows[name] = _scaled(kept, scale, dropped)
        hashes[name] = content_hash(content)
    problems.refuse()
    check_depth(pictures)
    _check_sizes(source, pixels)
    _check_left(source, rows, dropped)
    split_of, drawn = _splits(source, images, hashes, test_share)
    train, test = (_split(pixels, rows, split_of, split) for split in SPLITS)
    return Decoded(
        train,
        test,
        said.class_names,
        layout="boxes",
        jpeg_quality=None,
        notes=(
            *drawn,
            *said.notes,
            *notes,
            *_told(dropped),
            *_aside(rows.values()),
            *turned_upright(turned, "boxes"),
        ),
    )


def _check_images(source: Source, images: tuple[Annotated, ...]) -> None:
    """Refuse images that are missing, named twice or in both splits."""
    if not images:
        raise UserError(
            str(source.path),
            "no annotated image",
            got=listing_of(source.names()) or "an empty folder",
            expected="images with boxes",
            action="Check the path after --data, and the data set's layout",
        )
    there = set(source.names())
    problems = Problems()
    for image in images:
        if image.image not in there:
            problems.add(
                f"{source.path}/{image.image}",
                "missing image",
                "no such file",
                "the image that its annotation names",
                "Add the image, or remove its annotation",
            )
    twice = [name for name, count in Counter(i.image for i in images).items() if count > 1]
    for name in twice:
        problems.add(
            f"{source.path}/{name}",
            "annotated twice",
            " and ".join(sorted({i.split or "no split" for i in images if i.image == name})),
            "one entry for each image",
            "Remove one of them",
        )
    problems.refuse()


def _check_pixels(said: Annotations) -> None:
    """Refuse boxes in shares of the image where the layout has pixels."""
    boxes = [box for image in said.images for box in image.boxes]
    if said.relative or not boxes or max(max(box.right, box.bottom) for box in boxes) > 1:
        return
    raise UserError(
        boxes[0].where,
        "boxes in shares of their image",
        got=f"no edge beyond 1 in {len(boxes)} box{'es' * (len(boxes) > 1)}",
        expected="pixels",
        action="Multiply them by the image's width and height, or use the layout yolo",
    )


def _check_left(
    source: Source, rows: Mapping[str, list[tuple[float, ...]]], dropped: Mapping[str, int]
) -> None:
    """Refuse data of which every box was left out."""
    if dropped and not any(rows.values()):
        raise UserError(
            str(source.path),
            "no box is left",
            got="; ".join(_told(dropped)),
            expected="boxes to find",
            action="Choose a larger --resize",
        )


def _check_size(said: Annotated, picture: Picture, problems: Problems) -> None:
    """Note an image that is not as large as its annotation says."""
    height, width = picture.pixels.shape[:2]
    if said.size is None or said.size == (width, height):
        return
    action = "Annotate the images as they are, or scale them back"
    if picture.is_turned and said.size == (height, width):
        action = "Write the photos upright, without an orientation in EXIF, and their boxes anew"
    problems.add(
        said.where,
        "an image that is not as large as its annotation says",
        f"{width}x{height}" + ", turned as EXIF says" * picture.is_turned,
        "{}x{}".format(*said.size),
        action,
    )


def _checked(
    boxes: list[tuple[Box, tuple[float, ...]]],
    size: tuple[int, int],
    class_names: tuple[str, ...],
    problems: Problems,
    dropped: Counter[str],
) -> list[tuple[float, ...]]:
    """Return class and edges of the ``boxes`` of an image of ``size``; note what is wrong."""
    height, width = size
    kept: list[tuple[float, ...]] = []
    for box, (left, top, right, bottom) in boxes:
        edges = f"{left:g}, {top:g}, {right:g}, {bottom:g}"
        if box.label not in class_names:
            problems.add(
                box.where,
                "a class that is not in the list",
                repr(box.label),
                listing_of([repr(name) for name in class_names]),
                "Correct the name, or add it to the list",
            )
            continue
        if right <= left or bottom <= top:
            problems.add(
                box.where,
                "a box without area",
                edges,
                "left below right and top below bottom",
                "Correct or remove the box",
            )
            continue
        if min(left, top) < -BEYOND or right > width + BEYOND or bottom > height + BEYOND:
            problems.add(
                box.where,
                "a box outside its image",
                edges,
                f"within 0, 0, {width}, {height}",
                "Correct the box, or the image it belongs to",
            )
            continue
        number = class_names.index(box.label)
        row = (
            float(number if box.counts else -2 - number),
            max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)),
        )  # fmt: skip
        if row in kept:
            dropped["stand twice in their image"] += 1
        else:
            kept.append(row)
    return kept


def _scaled(
    rows: list[tuple[float, ...]], scale: tuple[float, ...], dropped: Counter[str]
) -> list[tuple[float, ...]]:
    """Return class and edges in the scaled image, without the boxes that become too small."""
    found: list[tuple[float, ...]] = []
    for label, left, top, right, bottom in rows:
        x, y, dx, dy = scale
        edges = (left * x + dx, top * y + dy, right * x + dx, bottom * y + dy)
        if edges[2] - edges[0] < SMALLEST or edges[3] - edges[1] < SMALLEST:
            dropped[f"are below {SMALLEST:g} pixel at the size of the network's input"] += 1
        else:
            found.append((label, *edges))
    return found


def _told(dropped: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(
        f"{count} box{'es' * (count > 1)} left out: they {why}" for why, count in dropped.items()
    )


def _aside(images: Iterable[list[tuple[float, ...]]]) -> tuple[str, ...]:
    """Return what to say of boxes that need not be found."""
    count = sum(row[0] < UNUSED for rows in images for row in rows)
    boxes = f"{count} box{'es' * (count > 1)}"
    return (f"{boxes} of crowds, or marked difficult, need not be found",) if count else ()


def _check_sizes(source: Source, images: Mapping[str, Uint8Array]) -> None:
    """Refuse images of different height or width."""
    first_name, first = next(iter(images.items()))
    for name, pixels in images.items():
        if pixels.shape[:2] != first.shape[:2]:
            raise UserError(
                f"{source.path}/{name}",
                "images of mixed size",
                got=f"{pixels.shape[0]}x{pixels.shape[1]}",
                expected=f"{first.shape[0]}x{first.shape[1]} as in {first_name}",
                action="Scale all of them with --resize, as in --resize 160",
            )


def _splits(
    source: Source, images: tuple[Annotated, ...], hashes: Mapping[str, int], test_share: float
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return image -> "train" or "test", and what to say of it."""
    said = {image.image: image.split for image in images}
    if "test" in said.values():
        refuse_share(test_share, "the data names its test images")
        if set(said.values()) == {"test"}:
            raise UserError(
                str(source.path),
                "no training images",
                got=f"{len(said)} test images",
                expected="images to train on",
                action="Add the training images, or give data without named splits",
            )
        return {name: split or "train" for name, split in said.items()}, ()
    if len(said) < 2:
        raise UserError(
            str(source.path),
            "too few images to draw test images from",
            got=f"{len(said)} image",
            expected="at least two",
            action="Add images",
        )
    share = test_share or SHARE
    ordered = sorted(said, key=lambda name: (hashes[name], name))
    count = sum(hashes[name] < share * 2.0**64 for name in ordered)
    count = min(max(count, 1), len(ordered) - 1)
    test = set(ordered[:count])
    return {name: "test" if name in test else "train" for name in said}, (
        f"no test images named: {count} of {len(said)} images are test images, those in the lowest "
        f"{share:.0%} by the hash of their files: the same ones every time",
    )


def _split(
    pixels: Mapping[str, Uint8Array],
    rows: Mapping[str, list[tuple[float, ...]]],
    split_of: Mapping[str, str],
    split: str,
) -> Split:
    """Return the images of one split, in the order of their names, with their targets."""
    members = sorted(name for name in pixels if split_of[name] == split)
    channels = max(image.shape[2] for image in pixels.values())
    images = [np.broadcast_to(pixels[n], (*pixels[n].shape[:2], channels)) for n in members]
    most = max(1, max(map(len, rows.values())))
    targets = np.zeros((len(members), most, 5), np.float32)
    targets[..., 0] = UNUSED
    for index, name in enumerate(members):
        if rows[name]:
            targets[index, : len(rows[name])] = rows[name]
    return Split(np.stack(images), targets)
