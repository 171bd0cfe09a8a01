"""Images with a mask each: images/ and masks/ (or labels/) with files of equal names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from codegen.errors import UserError
from codegen.graph.sources.tiles import OUTSIDE, Tile, cut, tiles
from nestnet.datasets._reading.description import described, file_in, needed
from nestnet.datasets._reading.images import (
    Picture,
    check_depth,
    decode,
    decode_numbers,
    resize_numbers,
    turned_upright,
)
from nestnet.datasets._reading.source import Source, listing_of, track
from nestnet.datasets._split import test_mask
from nestnet.datasets._types import Cut, Dataset, Split
from nestnet.datasets.boxes._annotated import split_of

TASK = "segmentation"
DESCRIPTION = "masks.toml"
IGNORED = 255
"""What targets hold where a position does not count."""
_IMAGES, _MASKS = "images", ("masks", "labels")
_EXPECTED = "images/NAME and masks/NAME, or labels/NAME, with equal names but for their endings"
_TWO = ("background", "foreground")
Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class Masks:
    """What masks.toml says, which may be missing."""

    classes: tuple[str, ...] = ()
    """Their names; empty: background and foreground, of masks with 0 and 1, or 0 and 255."""
    values: tuple[int, ...] = ()
    """The number that stands for each class in the masks; empty: 0, 1, 2, ..."""
    ignore: int = -1
    """The number where a position does not count; -1: there is none."""
    tile: tuple[int, ...] = ()
    """Height and width of the tiles that images are cut into; empty: they stay whole."""
    margin: int = 0
    """Pixels of a tile's answer that are left to the tiles beside it."""
    test: tuple[str, ...] = ()
    """The test images, by their names without endings; empty: drawn."""


def load(
    data: Path | None,
    resize: tuple[int, int] | None,
    test_share: float,
    tile: tuple[int, ...] = (),
    margin: int = -1,
) -> Dataset:
    """Load images and masks; resized first, then cut into tiles, of ``tile`` and ``margin`` where
    these are given. All tiles of an image are in one split. Beyond an image that is smaller than a
    tile is mid-grey, which counts for nothing.

    Raises:
        UserError: no ``data``; an image without a mask or the reverse; one that cannot be read; a
            mask of another size than its image; numbers in masks that are no class; images of mixed
            size; a masks.toml that is wrong.
    """
    path = needed(data, "masks", f"a directory or archive with {_EXPECTED}")
    source = Source(path)
    what = _description(source, tile, margin)
    pairs = _pairs(source)
    wanted = frozenset(name for pair in pairs.values() for name in pair)
    files = dict(track(source.files(wanted), "Reading images", total=len(wanted)))
    pictures = {stem: decode(f"{path}/{a}", files[a], resize) for stem, (a, _) in pairs.items()}
    check_depth({f"{path}/{pairs[stem][0]}": picture for stem, picture in pictures.items()})
    images = {stem: picture.pixels for stem, picture in pictures.items()}
    numbers = {}
    for stem, (image, mask) in pairs.items():
        found = decode_numbers(f"{path}/{mask}", files[mask])
        _check_size(f"{path}/{mask}", found, decode(f"{path}/{image}", files[image], None))
        numbers[stem] = found if resize is None else resize_numbers(found, resize)
    names, masks = _classes(str(path), what, numbers)
    if len({pixels.shape[2] for pixels in images.values()}) > 1:
        images = {name: np.broadcast_to(p, (*p.shape[:2], 3)) for name, p in images.items()}
    turned = sum(picture.is_turned for picture in pictures.values())
    made = _dataset(path, what, names, images, masks, test_share)
    return replace(made, notes=(*made.notes, *turned_upright(turned, "masks")))


def _description(source: Source, tile: tuple[int, ...], margin: int) -> Masks:
    """Return what masks.toml says, with ``tile`` and ``margin`` where these are given."""
    name = file_in(source.names(), DESCRIPTION)
    where = f"{source.path}/{DESCRIPTION}"
    content = None if name is None else dict(source.files(frozenset((name,))))[name]
    what = described(Masks, where, content)
    what = replace(what, tile=tile or what.tile, margin=what.margin if margin < 0 else margin)
    values = what.values or tuple(range(len(what.classes)))
    if len(values) != len(what.classes) or len(set(values)) != len(values):
        got = f"{len(what.values)} values, {len(what.classes)} classes"
        raise _bad(where, "values", got, "a number of its own for each class")
    twice = sorted({name for name in what.classes if what.classes.count(name) > 1})
    if twice:
        raise _bad(where, "classes", ", ".join(twice), "names that differ")
    if not all(0 <= value <= 255 for value in (*values, max(what.ignore, 0))):
        got = ", ".join(map(str, (*what.values, what.ignore)))
        raise _bad(where, "values and ignore", got, "numbers of 0..255")
    if what.ignore in values:
        raise _bad(where, "ignore", str(what.ignore), "a number of no class")
    if len(what.classes) == 1 or len(what.classes) > IGNORED:
        raise _bad(where, "classes", str(len(what.classes)), f"2..{IGNORED} names, or none")
    if what.tile and (len(what.tile) != 2 or min(what.tile) < 1):
        raise _bad(where, "tile", str(list(what.tile)), "height and width, both at least 1")
    most = (min(what.tile, default=1) - 1) // 2
    if not 0 <= what.margin <= most:
        expected = f"0..{most}, less than half a tile" if what.tile else "tile beside it"
        flag = where if margin < 0 else "--margin"
        raise _bad(flag, "margin", str(what.margin), expected)
    if not what.classes and what.ignore >= 0:
        raise _bad(where, "ignore", str(what.ignore), "classes beside it")
    return what


def _pairs(source: Source) -> dict[str, tuple[str, str]]:
    """Return image and mask by the name that they have in common, sorted; where there are several
    folders of images and of masks, with what is above them: train/a1.

    Raises:
        UserError: no folders of both, or a file without a partner.
    """
    found: dict[str, dict[str, str]] = {_IMAGES: {}, "masks": {}}
    paths = [PurePosixPath(name) for name in source.names() if not name.endswith("/")]
    paths = [path for path in paths if path.parent.name in (_IMAGES, *_MASKS)]
    above = [path.parts[:-2] for path in paths]
    levels = enumerate(zip(*above, strict=False))
    apart = (depth for depth, names in levels if len(set(names)) > 1)
    shared = next(apart, min(map(len, above), default=0))
    for path in paths:
        folder = _IMAGES if path.parent.name == _IMAGES else "masks"
        name, stem = str(path), "/".join((*path.parts[shared:-2], path.stem))
        if stem in found[folder]:
            raise _unpaired(source, "two files of one name", [found[folder][stem], name])
        found[folder][stem] = name
    images, masks = found.values()
    if not images or not masks:
        raise UserError(
            str(source.path),
            "no images, or no masks",
            got=listing_of(source.names()) or "an empty folder",
            expected=_EXPECTED,
            action="Sort the files into these folders",
        )
    alone = sorted(set(images) ^ set(masks))
    if alone:
        raise _unpaired(
            source,
            "files without a partner in the other folder",
            [images.get(stem) or masks[stem] for stem in alone],
        )
    return {stem: (images[stem], masks[stem]) for stem in sorted(images)}


def _tested(stems: Iterable[str]) -> tuple[str, ...]:
    """Return the images below a folder called test, or val where there is none."""
    said = {stem: split_of(str(PurePosixPath(stem).parent)) for stem in stems}
    chosen = "test" if "test" in said.values() else "val"
    return tuple(stem for stem, split in said.items() if split == chosen)


def _unpaired(source: Source, what: str, names: list[str]) -> UserError:
    return UserError(
        str(source.path),
        what,
        got=listing_of(names),
        expected=_EXPECTED,
        action="Add what is missing, or remove what is too much",
    )


def _check_size(where: str, mask: Mask, picture: Picture) -> None:
    shape = picture.pixels.shape[:2]
    if mask.shape != shape:
        raise UserError(
            where,
            "the mask is not as large as its image",
            got="x".join(map(str, mask.shape)),
            expected="x".join(map(str, shape)) + ", turned as EXIF says" * picture.is_turned,
            action="Make the mask anew, or scale it as the image was scaled",
        )


def _classes(
    path: str, what: Masks, numbers: Mapping[str, Mask]
) -> tuple[tuple[str, ...], dict[str, Mask]]:
    """Return the class names, and the masks with class numbers instead of those of the files.

    Raises:
        UserError: numbers that are no class.
    """
    present = {stem: set(np.unique(mask).tolist()) for stem, mask in numbers.items()}
    names, values = what.classes, what.values or tuple(range(len(what.classes)))
    if not names:
        both = set().union(*present.values())
        names, values = _TWO, (0, 1) if both <= {0, 1} else (0, 255)
    known = {*values, what.ignore}
    for stem, found in present.items():
        if found - known:
            shown = sorted(found - known)
            raise UserError(
                f"{path}, mask of {stem}",
                "numbers that are no class",
                got=", ".join(map(str, shown[:8])) + (" and more" if len(shown) > 8 else ""),
                expected=", ".join(f"{v} {n}" for v, n in zip(values, names, strict=True)),
                action=f"Say in {DESCRIPTION} beside the folders: "
                'classes = ["sky", "road"], values = [0, 7], ignore = 255',
            )
    table = np.full(256, IGNORED, np.uint8)
    table[list(values)] = np.arange(len(values))
    return names, {stem: table[mask] for stem, mask in numbers.items()}


def _dataset(
    path: Path,
    what: Masks,
    names: tuple[str, ...],
    images: Mapping[str, NDArray[np.uint8]],
    masks: Mapping[str, Mask],
    test_share: float,
) -> Dataset:
    where = f"{path}/{DESCRIPTION}"
    size_of = {stem: what.tile or mask.shape for stem, mask in masks.items()}
    if len(set(size_of.values())) > 1:
        raise UserError(
            str(path),
            "images of mixed size",
            got=", ".join(sorted("x".join(map(str, size)) for size in set(size_of.values()))),
            expected="one size",
            action=f"Scale all of them with --resize, or say tile = [64, 64] in {DESCRIPTION}",
        )
    height, width = next(iter(size_of.values()))
    plans = {stem: tiles(_size(mask), (height, width), what.margin) for stem, mask in masks.items()}
    groups = np.repeat(list(plans), [len(plan) for plan in plans.values()])
    is_test, told = test_mask(groups, what.test or _tested(masks), test_share, where, "test")
    splits = []
    for wanted in (False, True):
        pieces = [
            (
                cut(images[stem], tile, (height, width), OUTSIDE),
                _answer(masks[stem], tile, (height, width), only_own=wanted),
            )
            for stem, tested in dict(zip(groups.tolist(), is_test.tolist(), strict=True)).items()
            for tile in plans[stem]
            if tested == wanted
        ]
        splits.append(Split(*(np.stack(each) for each in zip(*pieces, strict=True))))
    pieces_are = "tiles" if what.tile else "images"
    notes = [told.replace("groups", "images").replace("windows", pieces_are)]
    sizes = np.array([mask.shape for mask in masks.values()])
    small = int((sizes < (height, width)).any(axis=1).sum())
    if small:
        notes.append(f"{small} images are smaller than a tile: beyond them is mid-grey ({OUTSIDE})")
    return Dataset(
        name="masks",
        title=path.resolve().name.split(".")[0],
        train=splits[0],
        test=splits[1],
        class_names=names,
        default_augment="flips",
        notes=tuple(notes),
        test_share=test_share,
        task=TASK,
        cut=Cut(what.margin, (int(sizes[:, 0].max()), int(sizes[:, 1].max())))
        if what.tile
        else None,
    )


def _size(mask: Mask) -> tuple[int, int]:
    return mask.shape[0], mask.shape[1]


def _answer(mask: Mask, tile: Tile, size: tuple[int, int], *, only_own: bool) -> Mask:
    """Return what a network is to answer to a tile: everywhere in the image, or to its own part."""
    piece = cut(mask, tile, size, IGNORED)
    if not only_own:
        return piece
    own = np.full_like(piece, IGNORED)
    own[tile.inside] = piece[tile.inside]
    return own


def _bad(where: str, key: str, got: str, expected: str) -> UserError:
    return UserError(
        f"{where}, {key}", "not acceptable", got=got, expected=expected, action="Change it"
    )
