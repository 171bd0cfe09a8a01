"""Windows of recordings of sensors, .csv or .npy, as windows.toml beside them says."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.errors import UserError
from nestnet.datasets._contract import check_finite, check_precise
from nestnet.datasets._reading.description import described, file_in, groups_of, needed
from nestnet.datasets._reading.source import Source, listing_of
from nestnet.datasets._split import test_mask
from nestnet.datasets._types import Dataset, Split
from nestnet.datasets.folder import WINDOWS

DESCRIPTION = WINDOWS


@dataclass(frozen=True)
class Windows:
    """What windows.toml says; a recording is a file, time goes down its rows."""

    files: str = "*.csv"
    """Which files are recordings: a pattern of names."""
    columns: tuple[str, ...] = ()
    """What the network is fed, by the names in the first row; numbers from 0 of a .npy file."""
    label: str = ""
    """The column of the class: a window has that of its middle."""
    window: int = 0
    """Rows of a window."""
    hop: int = 0
    """Rows from one window to the next; 0: half a window."""
    agree: float = 0.9
    """Share of a window that must be of its class; other windows are left out."""
    classes: tuple[str, ...] = ()
    """The classes to tell apart, as they stand in the column; empty: all there are."""
    names: tuple[str, ...] = ()
    """What to call ``classes``, in their order; empty: the same."""
    group: str = ""
    """The column of who or what was recorded, which is in one split only."""
    group_of_file: str = ""
    """Instead: a regular expression whose parentheses find it in the name of a file."""
    test_groups: tuple[str, ...] = ()
    """The groups of the test data; empty: drawn."""


def load(data: Path | None, resize: tuple[int, int] | None, test_share: float) -> Dataset:
    """Load windows of all recordings; their values are int16 where all are whole, else float32.

    Without ``group`` and ``group_of_file`` each file is a group.

    Raises:
        UserError: no ``data``, no windows.toml or one that is wrong; files that cannot be read,
            columns that are missing, numbers that are none; a recording shorter than a window;
            classes without windows; ``resize``.
    """
    path = needed(data, "windows", f"a directory or archive with {DESCRIPTION} and recordings")
    if resize is not None:
        raise UserError(
            "--resize",
            "windows are as long as windows.toml says",
            got=f"{resize[0]}x{resize[1]}",
            expected="nothing",
            action="Leave --resize out",
        )
    source = Source(path)
    where = f"{path}/{DESCRIPTION}"
    what = _description(source, where)
    recordings = {
        name
        for name in source.names()
        if fnmatch(PurePosixPath(name).name, what.files) and not name.endswith("/")
    }
    if not recordings:
        raise _bad(where, "files", what.files, f"a pattern that some of {_shown(source)} fit")
    of_file = {name: name for name in recordings}
    if what.group_of_file:
        of_file |= groups_of(what.group_of_file, tuple(sorted(recordings)), where)
    cut = _Cut(what)
    for name, content in sorted(source.files(frozenset(recordings))):
        cut.add(f"{path}/{name}", _table(f"{path}/{name}", content, what), of_file[name])
    return _dataset(path, where, what, cut, test_share)


def _description(source: Source, where: str) -> Windows:
    name = file_in(source.names(), DESCRIPTION)
    if name is None:
        raise UserError(
            where,
            "nothing says what the recordings hold",
            got=_shown(source),
            expected=f"a file {DESCRIPTION} with files, columns, label and window",
            action="Write it; docs/howto/dataset.md has an example",
        )
    content = dict(source.files(frozenset((name,))))[name]
    what = described(Windows, where, content)
    for key in ("columns", "label"):
        if not getattr(what, key):
            raise _bad(where, key, "nothing", "names of columns" if key == "columns" else "a name")
    if what.window < 2 or what.hop < 0:
        raise _bad(where, "window and hop", (what.window, what.hop), "2 or more, and 0 or more")
    if not 0 < what.agree <= 1:
        raise _bad(where, "agree", what.agree, "above 0 and at most 1")
    if what.group and what.group_of_file:
        raise _bad(where, "group and group_of_file", "both", "one of them")
    if what.names and len(what.names) != len(what.classes):
        raise _bad(
            where, "names", len(what.names), f"a name for each of {len(what.classes)} classes"
        )
    return what


@dataclass(frozen=True, eq=False)
class _Table:
    """The columns of a recording that are asked for."""

    values: NDArray[np.float64]
    """(rows, channels)"""
    labels: NDArray[np.str_]
    groups: NDArray[np.str_] | None


class _Cut:
    """Windows of recordings, collected one recording after the other."""

    def __init__(self, what: Windows) -> None:
        self.what = what
        self.windows: list[NDArray[np.float64]] = []
        self.labels: list[str] = []
        self.groups: list[str] = []
        self.mixed = 0
        """Left out: of several classes, or of several groups."""
        self.short: list[str] = []

    def add(self, where: str, table: _Table, group: str) -> None:
        """Cut a recording of ``group``, if the table has none of its own."""
        size = self.what.window
        if len(table.values) < size:
            self.short.append(where)
            return
        for first in range(0, len(table.values) - size + 1, self.what.hop or size // 2):
            rows = slice(first, first + size)
            label = str(table.labels[first + size // 2])
            if self.what.classes and label not in self.what.classes:
                continue
            owners = {group} if table.groups is None else set(table.groups[rows].tolist())
            if (table.labels[rows] == label).mean() < self.what.agree or len(owners) > 1:
                self.mixed += 1
                continue
            self.windows.append(table.values[rows])
            self.labels.append(label)
            self.groups.append(owners.pop())


def _dataset(path: Path, where: str, what: Windows, cut: _Cut, test_share: float) -> Dataset:
    counts = Counter(cut.labels)
    classes = what.classes or tuple(sorted(counts, key=_by_number))
    _check_names(path, what, counts)
    if not cut.windows:
        raise UserError(
            str(path),
            "no windows",
            got=f"{len(cut.short)} recordings shorter than a window of {what.window} rows, "
            f"{cut.mixed} windows of several classes",
            expected="recordings that hold windows of one class",
            action="Ask for shorter windows, or less agree",
        )
    missing = [name for name in classes if not counts[name]]
    if missing or len(classes) < 2:
        raise UserError(
            f"{where}, classes",
            "classes without windows" if missing else "only one class",
            got=", ".join(missing or classes),
            expected=f"some of {', '.join(sorted(counts, key=_by_number))}, two or more",
            action="Change classes, or ask for shorter windows or less agree",
        )
    stacked = np.stack(cut.windows)[:, None]
    whole = bool((stacked == np.rint(stacked)).all()) and np.abs(stacked + 0.5).max() < 2**15
    images: NDArray[Any] = stacked.astype(np.int16 if whole else np.float32)
    check_precise(str(path), stacked, images)
    targets = np.array([classes.index(label) for label in cut.labels], np.int64)
    mask, told = test_mask(np.array(cut.groups), what.test_groups, test_share, where)
    absent = sorted(set(range(len(classes))) - set(targets[~mask].tolist()))
    if absent:
        raise UserError(
            where,
            "classes without training windows",
            got=", ".join(classes[label] for label in absent),
            expected="windows of every class in the training groups",
            action="Choose other test_groups",
        )
    notes = [told]
    if cut.mixed:
        notes.append(f"{cut.mixed} windows left out: less than {what.agree:.0%} of one class")
    if cut.short:
        notes.append(f"shorter than a window, left out: {listing_of(cut.short)}")
    return Dataset(
        name="windows",
        title=path.resolve().name.split(".")[0],
        train=Split(images[~mask], targets[~mask]),
        test=Split(images[mask], targets[mask]),
        class_names=what.names or classes,
        default_augment="none",
        notes=tuple(notes),
        test_share=test_share,
    )


def _table(where: str, content: bytes, what: Windows) -> _Table:
    """Return the columns of a recording."""
    wanted = [*what.columns, what.label, *([what.group] if what.group else [])]
    columns = (
        _npy(where, content, wanted) if where.endswith(".npy") else _csv(where, content, wanted)
    )
    values = np.stack([_numbers(where, name, columns[name]) for name in what.columns], axis=1)
    check_finite(where, values)
    groups = _texts(columns[what.group]) if what.group else None
    return _Table(values, _texts(columns[what.label]), groups)


def _csv(where: str, content: bytes, wanted: list[str]) -> dict[str, NDArray[np.str_]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(where, str(error), "text in UTF-8") from error
    first = text.splitlines()[0] if text.strip() else ""
    delimiter = max(",;\t", key=first.count)
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    if not rows:
        raise _unreadable(where, "an empty file", "a row of names, then rows of numbers")
    header = [name.strip() for name in rows[0]]
    places = [_place(where, name, header) for name in wanted]
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise _unreadable(
                f"{where}, row {number}", f"{len(row)} cells", f"{len(header)}, as in the first row"
            )
    cells = np.array([[row[place].strip() for place in places] for row in rows[1:]], np.str_)
    cells = cells.reshape(-1, len(places))
    return {name: cells[:, index] for index, name in enumerate(wanted)}


def _npy(where: str, content: bytes, wanted: list[str]) -> dict[str, NDArray[Any]]:
    try:
        table = np.load(io.BytesIO(content), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(where, str(error).splitlines()[0], "a .npy file") from error
    if table.ndim != 2 or not np.issubdtype(table.dtype, np.number):
        raise _unreadable(where, f"{table.dtype} {table.shape}", "numbers (rows, columns)")
    header = [str(index) for index in range(table.shape[1])]
    return {name: table[:, _place(where, name, header)] for name in wanted}


def _texts(column: NDArray[Any]) -> NDArray[np.str_]:
    """Return names of classes or groups, whole numbers without a point."""
    if np.issubdtype(column.dtype, np.floating) and (column == np.rint(column)).all():
        column = column.astype(np.int64)
    return column.astype(np.str_)


def _place(where: str, name: str, header: list[str]) -> int:
    if header.count(name) != 1:
        raise UserError(
            where,
            "no such column" if name not in header else "two columns of one name",
            got=name,
            expected=", ".join(header),
            action=f"Name the columns in {DESCRIPTION} as they are",
        )
    return header.index(name)


def _numbers(where: str, name: str, cells: NDArray[Any]) -> NDArray[np.float64]:
    try:
        return cells.astype(np.float64)
    except ValueError:
        row = next(index for index, cell in enumerate(cells.tolist()) if not _is_number(cell))
        raise _unreadable(
            f"{where}, row {row + 2}, column {name}", repr(str(cells[row])), "a number"
        ) from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _check_names(path: Path, what: Windows, names: Iterable[str]) -> None:
    """Refuse classes whose names are one number: a column that is whole in one file only."""
    numbers: dict[float, str] = {}
    for name in filter(_is_number, sorted(names)):
        other = numbers.setdefault(float(name), name)
        if other != name:
            raise UserError(
                str(path),
                "one number written in two ways is two classes",
                got=f"{other} and {name} in the column {what.label}",
                expected="one name for each class",
                action="Write them alike",
            )


def _by_number(name: str) -> tuple[float, str]:
    return (float(name), name) if _is_number(name) else (float("inf"), name)


def _shown(source: Source) -> str:
    return ", ".join(source.names()[:8]) or "an empty folder"


def _unreadable(where: str, got: str, expected: str) -> UserError:
    return UserError(
        where, "cannot be read", got=got, expected=expected, action="Correct or remove the file"
    )


def _bad(where: str, key: str, got: object, expected: str) -> UserError:
    return UserError(
        f"{where}, {key}", "not acceptable", got=got, expected=expected, action="Change it"
    )
