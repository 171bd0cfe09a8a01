"""Read the files of a directory or an archive, in memory: nothing is ever extracted to disk."""

from __future__ import annotations

import hashlib
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TypeVar

from rich.console import Console
from rich.progress import track as rich_track

from codegen.errors import UserError

T = TypeVar("T")

MAX_FILE_BYTES = 512 * 1024 * 1024
"""Largest single file read from a directory or archive."""

LISTED = 20
"""Most files that a message names."""

_LITTER = frozenset(
    ("__macosx", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "@eadir",
     "#recycle", "$recycle.bin", "system volume information", "lost+found", "icon\r")
)  # fmt: skip
"""Files and folders that Windows, macOS and storage boxes leave behind, in lower case."""
_LITTER_END = ("zone.identifier", "@synoeastream", "@synoresource")
"""Ends of the names of streams that were copied as files."""
_DAMAGED = (OSError, EOFError, tarfile.TarError, lzma.LZMAError, zipfile.BadZipFile, zlib.error,
            RuntimeError, ValueError, NotImplementedError)  # fmt: skip
"""What Python's archive readers raise on damaged or encrypted input."""


class Source:
    """A directory, a .zip or a .tar.* archive, as a set of named files.

    Names are relative POSIX paths; those of directories end in "/". Hidden files and the usual
    litter of file managers are left out.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path``.

        Raises:
            UserError: neither a directory nor an archive of a known kind, or a damaged archive.
        """
        self.path = path
        self._zip = False
        if path.is_file():
            self._zip = zipfile.is_zipfile(path)
            if not self._zip and not _is_tar(path):
                raise UserError(
                    str(path),
                    "not a directory or a readable archive",
                    got=f"a file of {path.stat().st_size} bytes",
                    expected="a directory, a .zip or a .tar, .tar.gz, .tar.bz2, .tar.xz archive",
                    action="Check the path after --data; download the archive again if it is short",
                )
        self._names: tuple[str, ...] | None = None

    def names(self) -> tuple[str, ...]:
        """Return the names of all files and directories, sorted.

        Raises:
            UserError: a damaged archive, or one with a path that leads out of it, or a link.
        """
        if self._names is None:
            self._names = tuple(sorted(name for name, _ in self._entries(read=False)))
        return self._names

    def files(self, wanted: frozenset[str]) -> Iterator[tuple[str, bytes]]:
        """Yield name and content of the ``wanted`` files, in storage order.

        Raises:
            UserError: a damaged archive, an unreadable or an oversized file.
        """
        for name, content in self._entries(read=True, wanted=wanted):
            if name in wanted:
                yield name, content

    def fingerprint(self) -> str:
        """Return a hash that changes when the content does: names, sizes and times of change."""
        digest = hashlib.sha256(str(self.path.resolve()).encode())
        for file in [self.path] if self.path.is_file() else _walk(self.path):
            try:
                state = file.stat()
            except OSError as error:
                if _hidden(file.relative_to(self.path).as_posix()):
                    continue
                raise UserError(
                    str(file),
                    "cannot be read",
                    got=error.strerror,
                    expected="a file, or a link to one",
                    action="Repair or remove it",
                ) from error
            line = f"{file.relative_to(self.path)}\0{state.st_size}\0{state.st_mtime_ns}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def _entries(
        self, *, read: bool, wanted: frozenset[str] = frozenset()
    ) -> Iterator[tuple[str, bytes]]:
        """Yield every entry's name, and its content where it is read."""
        try:
            if self.path.is_dir():
                yield from self._directory_entries(read, wanted)
            elif self._zip:
                yield from self._zip_entries(read, wanted)
            else:
                yield from self._tar_entries(read, wanted)
        except _DAMAGED as error:
            raise UserError(
                str(self.path),
                "cannot be read to its end",
                got=str(error).strip().splitlines()[0] if str(error) else type(error).__name__,
                expected="a complete, unencrypted archive or a readable directory",
                action="Download or pack the archive again",
            ) from error

    def _directory_entries(self, read: bool, wanted: frozenset[str]) -> Iterator[tuple[str, bytes]]:
        for file in _walk(self.path):
            name = file.relative_to(self.path).as_posix()
            if _hidden(name):
                continue
            if file.is_dir():
                yield name + "/", b""
            elif read and name in wanted:
                self._check_size(name, file.stat().st_size)
                yield name, file.read_bytes()
            else:
                yield name, b""

    def _zip_entries(self, read: bool, wanted: frozenset[str]) -> Iterator[tuple[str, bytes]]:
        with zipfile.ZipFile(self.path) as archive:
            for info in archive.infolist():
                # The format has forward slashes only; some programs on Windows write their own.
                stored = info.filename.replace("\\", "/")
                name = self._safe(stored)
                if _hidden(name):
                    continue
                if stored.endswith("/"):
                    yield name + "/", b""
                elif read and name in wanted:
                    self._check_size(name, info.file_size)
                    yield name, archive.read(info)
                else:
                    yield name, b""

    def _tar_entries(self, read: bool, wanted: frozenset[str]) -> Iterator[tuple[str, bytes]]:
        with tarfile.open(self.path, "r:*") as archive:
            for member in archive:
                name = self._safe(member.name)
                if _hidden(name):
                    continue
                if member.isdir():
                    yield name + "/", b""
                    continue
                content = archive.extractfile(member) if member.isreg() else None
                if content is None:
                    raise self._unsafe(member.name, "is a link or a device")
                if read and name in wanted:
                    self._check_size(name, member.size)
                    yield name, content.read()
                else:
                    yield name, b""

    def _safe(self, name: str) -> str:
        """Return an archive member's name without "./"; refuse one that leads out of it."""
        path = PurePosixPath(name)
        drive = self._zip and bool(PureWindowsPath(name).drive)
        if path.is_absolute() or ".." in path.parts or "\0" in name or drive:
            raise self._unsafe(name, "leads out of the archive")
        return path.as_posix()

    def _unsafe(self, name: str, why: str) -> UserError:
        return UserError(
            str(self.path),
            "unsafe archive",
            got=f"an entry '{name}' that {why}",
            expected="plain files and folders with relative paths",
            action="Pack the archive again from a clean folder",
        )

    def _check_size(self, name: str, size_bytes: int) -> None:
        if size_bytes > MAX_FILE_BYTES:
            raise UserError(
                f"{self.path}/{name}",
                "file too large",
                got=f"{size_bytes} bytes",
                expected=f"at most {MAX_FILE_BYTES} bytes",
                action="Remove the file from the data",
            )


def track(items: Iterable[T], text: str, *, total: int) -> Iterator[T]:
    """Yield ``items`` while a bar with ``text`` shows how many of ``total`` are done."""
    console = Console(stderr=True)
    yield from rich_track(
        items, text, total=total, console=console, transient=True, disable=not console.is_terminal
    )


def listing_of(entries: Sequence[str]) -> str:
    """Return the first LISTED ``entries`` as text and how many more there are."""
    rest = len(entries) - LISTED
    return ", ".join(entries[:LISTED]) + (f" and {rest} more" if rest > 0 else "")


def _walk(root: Path) -> list[Path]:
    """Return all files and directories below ``root``, sorted; follows links, each folder once."""
    found: list[Path] = []
    seen: set[str] = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        found += [Path(folder, name) for name in subfolders + files]
    return sorted(found)


def _hidden(name: str) -> bool:
    """Tell whether a file is hidden or litter, or lies in a folder that is."""
    return any(
        part.startswith(".") or part in _LITTER or part.endswith(_LITTER_END)
        for part in PurePosixPath(name.casefold()).parts
    )


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except _DAMAGED:
        return False
