"""Replace the files of a generated folder, all of them or none, and leave its user's own alone."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from codegen.errors import UserError
from codegen.target.manifest import MARKER, listed, written_hashes

BUILD = "build"
"""What make writes below; made again when the project changes."""


def check_ours(folder: Path) -> None:
    """Refuse a folder that holds something which no earlier call wrote.

    Raises:
        UserError: it is a link, a file, a folder with content but without :data:`MARKER`, or one
            in which files that we wrote were edited.
    """
    if folder.is_symlink():
        wrong, got = True, "a symbolic link"
    elif folder.is_dir():
        wrong = any(folder.iterdir()) and not (folder / MARKER).is_file()
        got = f"a folder with content but without {MARKER}"
    else:
        wrong, got = folder.exists(), "a file"
    if wrong:
        raise UserError(
            str(folder),
            "the output folder is not ours",
            got=got,
            expected="a new or empty folder, or one that nestnet generated",
            action="Choose another folder with --out, or remove this one yourself",
        )
    changed = edited(folder)
    if changed:
        raise UserError(
            str(folder),
            "generating again would overwrite your changes",
            got="edited " + ", ".join(str(path) for path in changed),
            expected=f"the files that {MARKER} lists as they were written",
            action="Keep your changes in files of other names and remove the edited ones, "
            "or choose another folder with --out",
        )


def replace(
    folder: Path, files: Mapping[PurePosixPath, bytes], facts: Mapping[str, object]
) -> None:
    """Make ``files`` the generated content of ``folder``.

    Files that an earlier call wrote go, what a user added stays, make's output is removed. Nothing
    is touched where the content is the same already. Killed at any moment, the next call mends it.

    Args:
        folder: created, or one that :func:`check_ours` accepts.
        files: content by path in the folder, without :data:`MARKER`.
        facts: what :data:`MARKER` shall say besides; "files" with their hashes is added.

    Raises:
        UserError: not our folder, or it cannot be written.
    """
    check_ours(folder)
    _check_unhashed(folder, files)
    files = {**files, PurePosixPath(MARKER): _marker(files, facts)}
    new = folder.with_name(f".{folder.name}.nestnet-new")
    old = folder.with_name(f".{folder.name}.nestnet-old")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _mend(folder, new, old)
        if is_complete(folder, files):
            return
        _write(new, files)
        for path in _added_by_user(folder, set(files)):
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(folder / path, new / path, follow_symlinks=False)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except OSError as error:
        raise UserError(
            str(folder),
            "cannot write the project",
            got=error.strerror or error,
            expected="a folder that can be written",
            action="Choose another folder with --out",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            _mend(folder, new, old)


def _check_unhashed(folder: Path, files: Mapping[PurePosixPath, bytes]) -> None:
    """Refuse to overwrite what nobody can tell from a user's work.

    Raises:
        UserError: :data:`MARKER` holds no hashes, as older versions wrote it, and a file differs.
    """
    if not (folder / MARKER).is_file() or written_hashes(folder):
        return
    different = [
        str(path)
        for path, content in files.items()
        if (folder / path).is_file() and (folder / path).read_bytes() != content
    ]
    if different:
        raise UserError(
            str(folder),
            f"an older version generated it: {MARKER} does not tell your changes from its files",
            got="different " + ", ".join(sorted(different)[:3]),
            expected="a folder with the hashes of its files",
            action="Choose another folder with --out or delete it",
        )


def _marker(files: Mapping[PurePosixPath, bytes], facts: Mapping[str, object]) -> bytes:
    hashes = {str(path): _sha256(files[path]) for path in sorted(files)}
    return (json.dumps({**facts, "files": hashes}, indent=1) + "\n").encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def is_complete(folder: Path, files: Mapping[PurePosixPath, bytes]) -> bool:
    """Return whether ``folder`` holds ``files``, byte for byte."""
    return all(
        (folder / path).is_file() and (folder / path).read_bytes() == content
        for path, content in files.items()
    )


def edited(folder: Path) -> tuple[PurePosixPath, ...]:
    """Return the files that differ from what was written; a missing file does not count."""
    return tuple(
        path
        for path, digest in written_hashes(folder).items()
        if (folder / path).is_file() and _sha256((folder / path).read_bytes()) != digest
    )


def _mend(folder: Path, new: Path, old: Path) -> None:
    """Remove or take back what a killed call left."""
    if new.exists():
        shutil.rmtree(new)
    if old.exists():
        if folder.exists():
            shutil.rmtree(old)
        else:
            old.rename(folder)


def _write(folder: Path, files: Mapping[PurePosixPath, bytes]) -> None:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def _added_by_user(folder: Path, written: set[PurePosixPath]) -> Iterator[PurePosixPath]:
    """Yield the files in ``folder`` that neither nestnet nor make wrote."""
    ours = written | set(listed(folder)) | {PurePosixPath(MARKER)}
    for path in sorted(folder.rglob("*")):
        name = PurePosixPath(path.relative_to(folder).as_posix())
        if name.parts[0] != BUILD and name not in ours and (path.is_symlink() or path.is_file()):
            yield name
