"""What the annotations of a data set say, before any image is read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import PurePosixPath

from codegen.errors import UserError
from nestnet.datasets._reading.source import listing_of


@dataclass(frozen=True)
class Box:
    """One box, in pixels of the upright image; its left and top edge are 0."""

    label: str
    """Its class."""
    left: float
    top: float
    right: float
    bottom: float
    where: str
    """File and line, for messages."""
    counts: bool = True
    """Whether it is to be found; if not, finding it is no mistake either."""

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """Return left, top, right, bottom."""
        return self.left, self.top, self.right, self.bottom


@dataclass(frozen=True)
class Annotated:
    """One image with its boxes."""

    image: str
    """Name of its file in the data."""
    boxes: tuple[Box, ...]
    split: str
    """"train", "val", "test", or empty where nothing says."""
    size: tuple[int, int] | None = None
    """Width and height that the boxes were drawn at; None where nothing says."""
    where: str = ""
    """File that says so, for messages."""


@dataclass(frozen=True)
class Annotations:
    """All images of a data set."""

    images: tuple[Annotated, ...]
    class_names: tuple[str, ...]
    """In the order of their numbers."""
    relative: bool = False
    """Whether boxes are in shares of the image's width and height instead of pixels."""
    notes: tuple[str, ...] = ()
    """What was left aside, in sentences without a full stop."""


class Problems:
    """What is wrong with annotations: collected, so that one message names every place."""

    def __init__(self) -> None:
        """Start without one."""
        self._found: list[UserError] = []

    def add(self, where: str, what: str, got: object, expected: str, action: str) -> None:
        """Note a problem: :class:`codegen.errors.UserError` says what the words are."""
        self._found.append(UserError(where, what, got=got, expected=expected, action=action))

    def refuse(self) -> None:
        """Refuse the data if there was a problem.

        Raises:
            UserError: the first one, with the places of all that are alike.
        """
        if not self._found:
            return
        first = self._found[0]
        alike = [error for error in self._found[1:] if error.what == first.what]
        others = len(self._found) - 1 - len(alike)
        got = f"{first.got}"
        if alike:
            got += f" (also {listing_of([f'{error.where}: {error.got}' for error in alike])})"
        if others:
            got += f" and {others} problem{'s' * (others > 1)} of another kind"
        raise UserError(
            first.where, first.what, got=got, expected=first.expected, action=first.action
        )


def number_of(text: str) -> float | None:
    """Return the finite number in ``text``; None where it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e9 else None


def check_skipped(source: str, skipped: Mapping[str, str], read: Iterable[str], want: str) -> None:
    """Refuse files without annotations of which one, by its name, holds those of a whole split.

    Args:
        source: the data, for messages.
        skipped: file -> what it holds.
        read: the files with annotations.
        want: what these hold.

    Raises:
        UserError: names the file.
    """
    known = {split_of(name) for name in read}
    for name, held in sorted(skipped.items()):
        split = split_of(name)
        if split and split not in known:
            raise UserError(
                f"{source}/{name}",
                f"holds no boxes, and no other file names those of {split}",
                got=held or "nothing",
                expected=want,
                action="Correct or remove the file",
            )


def size_of(width: object, height: object) -> tuple[int, int] | None:
    """Return the size of an image; None where one of them is no whole number above 0."""
    sides = [number_of(str(side)) for side in (width, height)]
    known = [int(side) for side in sides if side is not None and side >= 1]
    return (known[0], known[1]) if len(known) == 2 else None


def split_of(path: str) -> str:
    """Return "train", "val" or "test" as a word of a file's name or else of its innermost folder
    says, perhaps with a number behind it, as val2017 has; else ""."""
    for part in reversed(path.casefold().replace("\\", "/").split("/")):
        words = "".join(c if c.isalnum() else " " for c in part).split()
        for word in words:
            name = word.rstrip("0123456789")
            if name.startswith("trainval") or name in ("train", "training"):
                return "train"
            if name in ("val", "valid", "validation", "dev", "minival"):
                return "val"
            if name in ("test", "testing"):
                return "test"
    return ""


class Files:
    """The files of a data set, as annotations name them: by their path or the end of it."""

    def __init__(self, names: Iterable[str]) -> None:
        """Take the ``names`` of files and folders, as :meth:`Source.names` has them."""
        self._by_end: dict[str, list[PurePosixPath]] = defaultdict(list)
        for name in names:
            if not name.endswith("/"):
                self._by_end[PurePosixPath(name).name].append(PurePosixPath(name))

    def __contains__(self, file: str) -> bool:
        """Return whether there is a file called ``file``."""
        return bool(self._fitting(file))

    def named(self, file: str, near: str, where: str, problems: Problems) -> str:
        """Return the file that is called ``file``; that itself where there is none.

        Of several that fit, the one in most of the folders that ``near`` lies in, then the one of
        the same split; if that leaves several, it is a problem.

        Args:
            file: a path, or the end of one.
            near: the file that names it.
            where: the place there, for messages.
            problems: notes it.
        """
        fitting = self._fitting(file)
        exact = PurePosixPath(near).parent / file
        if exact in fitting or len(fitting) < 2:
            return str(exact) if exact in fitting else str((*fitting, file)[0])
        ranks = {path: (_shared(path, near), split_of(str(path)) == split_of(near))
                 for path in fitting}  # fmt: skip
        best = [path for path in fitting if ranks[path] == max(ranks.values())]
        if len(best) > 1:
            problems.add(
                where,
                "several images of one name",
                listing_of([str(path) for path in best]),
                "the one that is meant",
                "Name the image with its folder",
            )
        return str(best[0])

    def _fitting(self, file: str) -> list[PurePosixPath]:
        asked = PurePosixPath(file)
        parts = len(asked.parts)
        return [path for path in self._by_end[asked.name] if path.parts[-parts:] == asked.parts]


def _shared(path: PurePosixPath, near: str) -> int:
    """Return how many folders both lie in, from the top."""
    pairs = zip(path.parent.parts, PurePosixPath(near).parent.parts, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def settled(images: Sequence[Annotated]) -> tuple[tuple[Annotated, ...], tuple[str, ...]]:
    """Return ``images`` in two splits, and what to say: validation images are the test images where
    there are no others, else training images."""
    known = {image.split for image in images}
    if "val" not in known:
        return tuple(images), ()
    becomes = "train" if "test" in known else "test"
    count = sum(image.split == "val" for image in images)
    changed = tuple(
        replace(image, split=becomes) if image.split == "val" else image for image in images
    )
    return changed, (
        f"{count} validation images are {'training' if becomes == 'train' else 'test'} images",
    )
