"""Your own images: <class>/, or train/<class>/ and test/<class>/, in a directory or an archive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from codegen.errors import UserError
from nestnet.datasets._reading.cache import Decoded, cached
from nestnet.datasets._reading.images import BACKGROUND, Picture, check_depth, decode, jpeg_quality
from nestnet.datasets._reading.layout import IMAGES, SPLITS, Layout, find_layout
from nestnet.datasets._reading.source import Source, listing_of, track
from nestnet.datasets._split import SHARE, content_hash, draw, refuse_share
from nestnet.datasets._types import Dataset, Split, Uint8Array

SOUND_SUFFIXES = frozenset((".wav", ".flac", ".ogg", ".aif", ".aiff"))
"""Of files that the data set ``wav`` reads."""
WINDOWS = "windows.toml"
"""What describes recordings to the data set ``windows``."""
SUGGESTED_SIDE = 32
"""Height and width, in pixels, for which every board has RAM."""


def load(data: Path | None, resize: tuple[int, int] | None, test_share: float) -> Dataset:
    """Load images sorted into class folders; decoded once, then read from the cache.

    Grey images become one channel, colour three; where both occur, grey is widened to three.
    Without train/ and test/, test images are drawn by the hash of their files: ``test_share`` of
    all, SHARE where it is 0.

    Raises:
        UserError: no ``data``; no class folders; an empty, single or differing class; files
            that are not images (all named); images of mixed size without ``resize``;
            ``test_share`` beside a test/ folder.
    """
    if data is None:
        raise UserError(
            "--data",
            "the folder data set needs a place to read from",
            got="nothing",
            expected=f"a directory or archive with {IMAGES.expected}",
            action="Add --data DIR or --data ARCHIVE",
        )
    source = Source(data)
    _refuse_other_data(source)
    decoded = cached(
        "folder",
        f"{source.fingerprint()}\0{test_share}",
        resize,
        lambda: decode_class_folders(source, resize, test_share),
    )
    return Dataset(
        name="folder",
        title=data.resolve().name.split(".")[0],
        train=decoded.train,
        test=decoded.test,
        class_names=decoded.class_names,
        default_augment="none",
        notes=decoded.notes,
        test_share=test_share,
    )


def _refuse_other_data(source: Source) -> None:
    """Refuse data that another data set reads, by name.

    Raises:
        UserError: says which.
    """
    files = [PurePosixPath(name) for name in source.names() if not name.endswith("/")]
    sounds = [file for file in files if file.suffix.lower() in SOUND_SUFFIXES]
    others = {
        "windows": [file for file in files if file.name == WINDOWS],
        "wav": sounds if 2 * len(sounds) > len(files) else [],
        "arrays": [file for file in files if file.name.lower() in ("x.npy", "x_train.npy")],
    }
    for name, found in others.items():
        if found:
            raise UserError(
                str(source.path),
                "no data set of images",
                got=str(found[0]),
                expected="images in class folders",
                action=f"Add --dataset {name}",
            )


def decode_class_folders(
    source: Source, resize: tuple[int, int] | None, test_share: float = 0.0
) -> Decoded:
    """Decode every image of ``source`` without the cache.

    Raises:
        UserError: as :func:`load`.
    """
    layout = find_layout(source)
    if layout.splits is None:
        _refuse_single_images(source, layout)
    else:
        refuse_share(test_share, "the data has test images of its own, in test/")
    pictures, hashes, quality = _decode_all(source, frozenset(layout.labels), resize)
    check_depth({f"{source.path}/{name}": picture for name, picture in pictures.items()})
    images = {name: picture.pixels for name, picture in pictures.items()}
    _check_sizes(source, images)
    if len({pixels.shape[-1] for pixels in images.values()}) > 1:
        images = {name: np.broadcast_to(p, (*p.shape[:2], 3)) for name, p in images.items()}
    notes = [*layout.notes, *_notes(pictures)]
    split_of = layout.splits
    if split_of is None:
        share = test_share or SHARE
        split_of = draw(hashes, layout.labels, share)
        count = list(split_of.values()).count("test")
        notes.insert(
            0,
            f"no train/ and test/: {count} of {len(images)} images are test images, those in "
            f"the lowest {share:.0%} by the hash of their files: the same ones every time",
        )
    splits: dict[str, Split] = {}
    for split in SPLITS:
        members = [name for name in layout.labels if split_of[name] == split]
        stacked = np.stack([images[name] for name in members])
        labels = np.array([layout.labels[name] for name in members], dtype=np.int64)
        splits[split] = Split(stacked, labels)
    return Decoded(
        splits["train"],
        splits["test"],
        layout.class_names,
        layout="folders",
        jpeg_quality=quality,
        notes=tuple(notes),
    )


def _decode_all(
    source: Source, wanted: frozenset[str], resize: tuple[int, int] | None
) -> tuple[dict[str, Picture], dict[str, int], int | None]:
    """Decode and hash the ``wanted`` files; also estimate the first one's JPEG quality.

    Raises:
        UserError: one file cannot be used, or several: all are listed.
    """
    pictures: dict[str, Picture] = {}
    hashes: dict[str, int] = {}
    unusable: dict[str, UserError] = {}
    quality: int | None = None
    for name, content in track(source.files(wanted), "Decoding images", total=len(wanted)):
        quality = quality if hashes else jpeg_quality(content)
        hashes[name] = content_hash(content)
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
    return pictures, hashes, quality


def _notes(pictures: Mapping[str, Picture]) -> tuple[str, ...]:
    """Return what a user should know of how the files were read."""
    transparent = [name for name, picture in pictures.items() if picture.transparent]
    if not transparent:
        return ()
    return (
        f"{len(transparent)} of {len(pictures)} images have transparent pixels, as "
        f"{transparent[0]}: laid over mid-grey ({BACKGROUND})",
    )


def _refuse_single_images(source: Source, layout: Layout) -> None:
    """Refuse a class of one image where test images have to be drawn."""
    counts = Counter(layout.labels.values())
    single = [layout.class_names[label] for label, count in sorted(counts.items()) if count == 1]
    if single:
        raise UserError(
            str(source.path),
            "too few images to draw test images from",
            got=f"one image of {listing_of(single)}",
            expected="at least two of every class",
            action="Add images, or sort them into train/ and test/",
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
