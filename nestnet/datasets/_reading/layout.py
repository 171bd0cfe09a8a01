"""Find the classes and splits of a tree of image or sound files before any is read.

Either ``train/<class>/`` and ``test/<class>/``, or plain class folders; both may lie in a folder
that holds no other folder and no image.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from PIL import Image

from codegen.errors import UserError
from nestnet.classes import same_text
from nestnet.datasets._reading.source import Source, listing_of

SPLITS = ("train", "test")
_LIKE_SPLITS = frozenset(
    ("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval")
)
"""Folders of these names, in any case, that hold folders are meant as splits."""
_DEEPEST_ROOT = 3
"""Folders that may lie around the data in an archive."""

Parts = tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """What files a data set is made of."""

    word: str
    """What messages call one."""
    suffixes: frozenset[str]
    """Of their names, in lower case."""

    @property
    def expected(self) -> str:
        """Return how they are to lie."""
        word = self.word
        return f"train/<class>/<{word}> and test/<class>/<{word}>, or <class>/<{word}>"

    def has(self, name: str) -> bool:
        """Tell whether a file of this name is one, as opposed to a README or a list of labels."""
        return PurePosixPath(name).suffix.lower() in self.suffixes


IMAGES = Kind("image", frozenset(Image.registered_extensions()))


@dataclass(frozen=True)
class Layout:
    """The image files of a data set."""

    labels: Mapping[str, int]
    """File name -> index of its class; sorted by file name."""
    splits: Mapping[str, str] | None
    """File name -> "train" or "test"; None for plain class folders."""
    class_names: tuple[str, ...]
    notes: tuple[str, ...]
    """What was left aside."""


def has_splits(source: Source) -> bool:
    """Tell whether ``source`` has train/ and test/."""
    return _root_of_splits(source.names()) is not None


def find_layout(source: Source, kind: Kind = IMAGES) -> Layout:
    """Find all files of ``kind`` and check that the folders make a data set.

    Raises:
        UserError: no class folders; one that is empty, alone, or in one split only; a name that is
            no text; files outside the class folders.
    """
    names = source.names()
    root = _root_of_splits(names)
    if root is not None:
        folders = {(*root, split): split for split in SPLITS}
    else:
        folders = {_root_of_classes(source, kind): ""}
    members: dict[str, tuple[str, str]] = {}
    classes: dict[str, dict[str, str]] = {split: {} for split in folders.values()}
    stray: list[str] = []
    for name in names:
        found = _place(name, folders)
        if found is None:
            continue
        split, inner = found
        if len(inner) == 1 and not name.endswith("/"):
            if split or kind.has(name):
                stray.append(name)
            continue
        label = _class_name(source, inner[0], classes[split])
        if not name.endswith("/"):
            members[name] = (split, label)
    _refuse_stray(source, stray, kind, split_folders=root is not None)
    known = {split: set(spelt) for split, spelt in classes.items()}
    _check_classes(source, Counter(members.values()), known, kind.word)
    class_names = tuple(sorted(set().union(*known.values())))
    index = {label: i for i, label in enumerate(class_names)}
    return Layout(
        {name: index[label] for name, (_, label) in members.items()},
        None if root is None else {name: split for name, (split, _) in members.items()},
        class_names,
        _left_aside(names, members),
    )


def _root_of_splits(names: tuple[str, ...]) -> Parts | None:
    """Return the folder that holds train/ and test/: the top or the first such folder below it."""
    parents: dict[str, set[Parts]] = {split: set() for split in SPLITS}
    for name in names:
        parts = PurePosixPath(name).parts
        folders = parts if name.endswith("/") else parts[:-1]
        for depth, part in enumerate(folders[:_DEEPEST_ROOT]):
            if part in SPLITS:
                parents[part].add(folders[:depth])
    both = parents["train"] & parents["test"]
    return min(both, key=lambda parts: (len(parts), parts)) if both else None


def _root_of_classes(source: Source, kind: Kind) -> Parts:
    """Return the folder that holds the class folders: the top, or the only folder in it.

    Raises:
        UserError: nothing there, or folders that are meant as splits but lack one.
    """
    root: Parts = ()
    while True:
        folders, files, deep = _children(source.names(), root, kind)
        meant = sorted(f for f in folders if f.casefold() in _LIKE_SPLITS and f in deep)
        if meant or not folders:
            raise UserError(
                str(source.path),
                "no train/ and test/ folders" if meant else "no class folders",
                got=", ".join(sorted(folders | files)[:8]) or "an empty folder",
                expected=kind.expected,
                action=_remedy(source, meant, kind.word),
            )
        images = any(map(kind.has, files))
        if len(folders) > 1 or images or not deep or len(root) == _DEEPEST_ROOT:
            return root
        root = (*root, *folders)


def _children(
    names: tuple[str, ...], root: Parts, kind: Kind
) -> tuple[set[str], set[str], set[str]]:
    """Return the folders and files directly in ``root``, and which folders hold folders and no
    image."""
    folders: set[str] = set()
    files: set[str] = set()
    with_folders: set[str] = set()
    with_images: set[str] = set()
    for name in names:
        parts = PurePosixPath(name).parts
        inner = parts[len(root) :]
        if parts[: len(root)] != root or not inner:
            continue
        is_folder = name.endswith("/")
        if len(inner) == 1:
            (folders if is_folder else files).add(inner[0])
            continue
        folders.add(inner[0])
        if len(inner) > 2 or is_folder:
            with_folders.add(inner[0])
        elif kind.has(name):
            with_images.add(inner[0])
    return folders, files, with_folders - with_images


def _remedy(source: Source, meant: list[str], word: str) -> str:
    """Return what to do about folders that are ``meant`` as splits."""
    plain = [name.casefold() for name in meant]
    if {"train", "test"} <= set(plain):
        return "Write train and test in lower case"
    if len(meant) > 1 and "train" in plain:
        other = next(name for name in meant if name.casefold() != "train")
        return f"Rename {other}/ to test/ if its {word}s shall be the test {word}s"
    if plain == ["train"]:
        return (
            f"Add test/, or give {source.path}/{meant[0]} alone to have test {word}s drawn from it"
        )
    return f"Sort the {word}s into these folders"


def _place(name: str, folders: Mapping[Parts, str]) -> tuple[str, Parts] | None:
    """Return the split of a file or folder and its path below that; None for one outside."""
    parts = PurePosixPath(name).parts
    for folder, split in folders.items():
        if parts[: len(folder)] == folder and len(parts) > len(folder):
            return split, parts[len(folder) :]
    return None


def _class_name(source: Source, folder: str, spelt: dict[str, str]) -> str:
    """Return the name of the class in ``folder``, in composed Unicode.

    Args:
        source: for messages.
        folder: as it is spelt in the data.
        spelt: class name -> folder, of one split; this one is added.

    Raises:
        UserError: no text, or another folder's name looks the same.
    """
    try:
        folder.encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(
            str(source.path),
            "the name of a class folder is not UTF-8 text",
            got=ascii(folder),
            expected="a name that can be written into files",
            action="Rename the folder",
        ) from None
    name = same_text(folder)
    if spelt.setdefault(name, folder) != folder:
        raise UserError(
            str(source.path),
            "two class folders whose names look the same",
            got=f"{spelt[name]!a} and {folder!a}",
            expected="one folder for each class",
            action="Put the images of both into one of them, or rename one",
        )
    return name


def _refuse_stray(source: Source, stray: list[str], kind: Kind, *, split_folders: bool) -> None:
    """Refuse files beside class folders: each could be one that is missed."""
    if not stray:
        return
    several = len(stray) > 1
    where = f"{PurePosixPath(stray[0]).parent.name}/" if split_folders else "the data's folder"
    raise UserError(
        str(source.path) if several else f"{source.path}/{stray[0]}",
        f"{len(stray)} files outside a class folder" if several else "file outside a class folder",
        got=listing_of(stray) if several else f"a file directly in {where}",
        expected=kind.expected,
        action=f"Move {'them' if several else 'it'} into a class's folder or remove "
        f"{'them' if several else 'it'}",
    )


def _check_classes(
    source: Source,
    images: Mapping[tuple[str, str], int],
    classes: Mapping[str, set[str]],
    word: str,
) -> None:
    """Refuse empty, single and differing classes."""
    where = str(source.path)
    for split, labels in classes.items():
        empty = sorted(label for label in labels if (split, label) not in images)
        if empty or not labels:
            raise UserError(
                "/".join([where, split] if split else [where]) + (f"/{empty[0]}" if empty else ""),
                f"empty class folder{'s' * (len(empty) > 1)}" if empty else "no class folders",
                got=f"no {word} in {listing_of(empty)}" if empty else f"no {word}",
                expected=f"at least one {word} per class",
                action=f"Add {word}s or remove the folder",
            )
    if len(set(map(frozenset, classes.values()))) > 1:
        missing = {s: classes[s] - classes[o] for s, o in (SPLITS, SPLITS[::-1])}
        raise UserError(
            where,
            "train/ and test/ have different classes",
            got="; ".join(
                f"only in {split}/: {listing_of(sorted(labels))}"
                for split, labels in missing.items()
                if labels
            ),
            expected="the same class folders in both",
            action=_spelling(missing) or "Add the missing folders or remove the extra ones",
        )
    labels = next(iter(classes.values()))
    if len(labels) < 2:
        raise UserError(
            "/".join([where, *(split for split in classes if split == "train")]),
            "only one class",
            got=", ".join(labels),
            expected="at least two class folders",
            action=f"Add a folder with {word}s of another class",
        )


def _spelling(missing: Mapping[str, set[str]]) -> str:
    """Return the advice for classes that the splits spell differently; empty without such."""

    def plain(name: str) -> str:
        return " ".join(unicodedata.normalize("NFKC", name).casefold().split())

    other = {plain(name): name for name in missing["test"]}
    alike = sorted((name, other[plain(name)]) for name in missing["train"] if plain(name) in other)
    return "; ".join(f"Spell {a!r} and {b!r} alike" for a, b in alike)


def _left_aside(names: tuple[str, ...], members: Mapping[str, object]) -> tuple[str, ...]:
    """Return a note of the folders whose files are not used."""
    counts: dict[str, int] = defaultdict(int)
    used = {PurePosixPath(name).parent for name in members}
    used |= {parent for folder in used for parent in folder.parents}
    for name in names:
        if name in members or name.endswith("/"):
            continue
        parents = [parent for parent in PurePosixPath(name).parents if parent not in used]
        if parents:
            counts[f"{parents[-1]}/"] += 1
    listed = [f"{folder} ({count} file{'s' * (count > 1)})" for folder, count in counts.items()]
    return (f"not read: {listing_of(listed)}",) if listed else ()
