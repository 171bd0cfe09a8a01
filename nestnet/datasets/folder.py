"""Your own images: train/<class>/ and test/<class>/ in a directory or a .zip or .tar.* archive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from codegen.errors import UserError
from nestnet.datasets._cache import Decoded, cached
from nestnet.datasets._images import BACKGROUND, Picture, check_depth, decode, jpeg_quality
from nestnet.datasets._progress import track
from nestnet.datasets._source import Source, listing_of
from nestnet.datasets._types import Dataset, Split, Uint8Array

SPLITS = ("train", "test")

SUGGESTED_SIDE = 32
"""Height and width, in pixels, for which every board has RAM."""


@dataclass(frozen=True)
class _Listing:
    """The image files of a data set, found before any is decoded."""

    labels: dict[str, tuple[str, int]]
    """File name -> split, class index; sorted by file name."""
    class_names: tuple[str, ...]


def load(data: Path | None, resize: tuple[int, int] | None) -> Dataset:
    """Load images sorted into class folders; decoded once, then read from the cache.

    Grey images become one channel, colour three; where both occur, grey is widened to three.

    Raises:
        UserError: no ``data``; no train/ or test/; an empty, single or differing class; a file
            that is not an image (named); images of mixed size without ``resize``.
    """
    if data is None:
        raise UserError(
            "--data",
            "the folder data set needs a place to read from",
            got="nothing",
            expected="a directory or archive with train/<class>/ and test/<class>/",
            action="Add --data DIR or --data ARCHIVE",
        )
    source = Source(data)
    decoded = cached(
        "folder", source.fingerprint(), resize, lambda: decode_class_folders(source, resize)
    )
    return Dataset(
        name="folder",
        title=data.resolve().name.split(".")[0],
        train=decoded.train,
        test=decoded.test,
        class_names=decoded.class_names,
        default_augment="none",
        notes=decoded.notes,
    )


def has_class_folders(source: Source) -> bool:
    """Tell whether ``source`` has the layout of this data set."""
    return _root(source.names()) is not None


def decode_class_folders(source: Source, resize: tuple[int, int] | None) -> Decoded:
    """Decode every image of ``source`` without the cache.

    Raises:
        UserError: as :func:`load`.
    """
    listing = _list(source)
    pictures, quality = _decode_all(source, frozenset(listing.labels), resize)
    check_depth({f"{source.path}/{name}": picture for name, picture in pictures.items()})
    images = {name: picture.pixels for name, picture in pictures.items()}
    _check_sizes(source, images)
    if len({pixels.shape[-1] for pixels in images.values()}) > 1:
        images = {name: np.broadcast_to(p, (*p.shape[:2], 3)) for name, p in images.items()}
    splits: dict[str, Split] = {}
    for split in SPLITS:
        members = [name for name, (where, _) in listing.labels.items() if where == split]
        stacked = np.stack([images[name] for name in members])
        labels = np.array([listing.labels[name][1] for name in members], dtype=np.int64)
        splits[split] = Split(stacked, labels)
    return Decoded(
        splits["train"],
        splits["test"],
        listing.class_names,
        layout="folders",
        jpeg_quality=quality,
        notes=_notes(pictures),
    )


def _decode_all(
    source: Source, wanted: frozenset[str], resize: tuple[int, int] | None
) -> tuple[dict[str, Picture], int | None]:
    """Decode the ``wanted`` files; also estimate the first one's JPEG quality.

    Raises:
        UserError: one file cannot be used, or several: all are listed.
    """
    pictures: dict[str, Picture] = {}
    unusable: dict[str, UserError] = {}
    quality: int | None = None
    for name, content in track(source.files(wanted), "Decoding images", total=len(wanted)):
        quality = quality if pictures else jpeg_quality(content)
        try:
            pictures[name] = decode(f"{source.path}/{name}", content, resize)
        except UserError as error:
            unusable[name] = error
    if len(unusable) == 1:
        raise next(iter(unusable.values()))
    if unusable:
        alike: dict[str, list[str]] = {}
        for name, found in unusable.items():
            alike.setdefault(f"{found.what} ({found.got})", []).append(name)
        raise UserError(
            str(source.path),
            f"{len(unusable)} files that cannot be used as images",
            got="; ".join(f"{why}: {listing_of(names)}" for why, names in alike.items()),
            expected="; ".join(sorted({found.expected for found in unusable.values()})),
            action=". ".join(sorted({found.action for found in unusable.values()})),
        )
    return pictures, quality


def _notes(pictures: Mapping[str, Picture]) -> tuple[str, ...]:
    """Return what a user should know of how the files were read."""
    transparent = [name for name, picture in pictures.items() if picture.transparent]
    if not transparent:
        return ()
    return (
        f"{len(transparent)} of {len(pictures)} images have transparent pixels, as "
        f"{transparent[0]}: laid over mid-grey ({BACKGROUND})",
    )


def _list(source: Source) -> _Listing:
    """Find all image files and check that the folders make a data set."""
    root = _root(source.names())
    if root is None:
        found = sorted({PurePosixPath(name).parts[0] for name in source.names()})
        raise UserError(
            str(source.path),
            "no train/ and test/ folders",
            got=", ".join(found[:8]) if found else "an empty folder",
            expected="train/<class>/<image> and test/<class>/<image>",
            action="Sort the images into these folders",
        )
    files: dict[str, tuple[str, str]] = {}
    classes: dict[str, set[str]] = {split: set() for split in SPLITS}
    for name in source.names():
        path = PurePosixPath(name)
        if path.parts[: len(root)] != root or len(path.parts) <= len(root) + 1:
            continue
        split, label = path.parts[len(root) : len(root) + 2]
        if split not in SPLITS:
            continue
        if name.endswith("/"):
            classes[split].add(label)
        elif len(path.parts) == len(root) + 2:
            raise UserError(
                f"{source.path}/{name}",
                "file outside a class folder",
                got=f"a file directly in {split}/",
                expected=f"{split}/<class>/<image>",
                action="Move it into its class's folder or remove it",
            )
        else:
            classes[split].add(label)
            files[name] = (split, label)
    class_names = tuple(sorted(classes["train"] | classes["test"]))
    _check_classes(source, files, classes)
    index = {label: i for i, label in enumerate(class_names)}
    return _Listing(
        {name: (split, index[label]) for name, (split, label) in files.items()}, class_names
    )


def _root(names: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the folder that holds train/ and test/: the top or the first such folder below it."""
    parents: dict[str, set[tuple[str, ...]]] = {split: set() for split in SPLITS}
    for name in names:
        parts = PurePosixPath(name).parts
        folders = parts if name.endswith("/") else parts[:-1]
        for depth, part in enumerate(folders[:3]):
            if part in SPLITS:
                parents[part].add(folders[:depth])
    both = parents["train"] & parents["test"]
    return min(both, key=lambda parts: (len(parts), parts)) if both else None


def _check_classes(
    source: Source, files: dict[str, tuple[str, str]], classes: dict[str, set[str]]
) -> None:
    """Refuse empty, single and differing classes."""
    where = str(source.path)
    images = Counter(files.values())
    for split in SPLITS:
        empty = sorted(label for label in classes[split] if not images[split, label])
        if empty or not classes[split]:
            raise UserError(
                f"{where}/{split}" + (f"/{empty[0]}" if empty else ""),
                "empty class folder" if empty else "no class folders",
                got="no image",
                expected="at least one image per class",
                action="Add images or remove the folder",
            )
    if classes["train"] != classes["test"]:
        raise UserError(
            where,
            "train/ and test/ have different classes",
            got="; ".join(
                f"only in {split}/: {', '.join(sorted(classes[split] - classes[other]))}"
                for split, other in (SPLITS, SPLITS[::-1])
                if classes[split] - classes[other]
            ),
            expected="the same class folders in both",
            action="Add the missing folders or remove the extra ones",
        )
    if len(classes["train"]) < 2:
        raise UserError(
            f"{where}/train",
            "only one class",
            got=", ".join(classes["train"]),
            expected="at least two class folders",
            action="Add a folder with images of another class",
        )


def _check_sizes(source: Source, images: dict[str, Uint8Array]) -> None:
    """Refuse images of different height or width, naming two of them."""
    first_name, first = next(iter(images.items()))
    suggestion = "x".join(str(min(side, SUGGESTED_SIDE)) for side in first.shape[:2])
    for name, pixels in images.items():
        if pixels.shape[:2] != first.shape[:2]:
            raise UserError(
                f"{source.path}/{name}",
                "images of mixed size",
                got=f"{pixels.shape[0]}x{pixels.shape[1]}",
                expected=f"{first.shape[0]}x{first.shape[1]} as in {first_name}",
                action=f"Scale all of them with --resize, as in --resize {suggestion}",
            )
