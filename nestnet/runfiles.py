"""Guard a run's folder while it is written: one process at a time, and a way on when a disk is
full."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codegen.errors import UserError
from nestnet.runs import CONFIG

_NO_ROOM = ("room on the disk", "Make room")
_NOT_ALLOWED = ("a writable folder", "Make the folder writable, or copy the run to one that is")
_OTHERWISE = ("a folder that can be written", "Remove the cause")
_WAYS_OUT = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EROFS: _NOT_ALLOWED,
    errno.EACCES: _NOT_ALLOWED,
    errno.EPERM: _NOT_ALLOWED,
}
"""What is missing where a file cannot be written, and what to do about it."""


@contextmanager
def alone(run: Path) -> Iterator[None]:
    """Keep other processes from training ``run``; a process that ends, however, lets go.

    Raises:
        UserError: another process trains it.
    """
    with open(run / CONFIG, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                str(run),
                "the run is being trained",
                got="another process that holds its lock",
                expected="one process at a time",
                action=f"Wait for its end, or stop it and continue: nestnet train --resume {run}",
            ) from None
        except OSError:
            pass  # a file system without locks
        yield


@contextmanager
def writing(run: Path) -> Iterator[None]:
    """Say how to go on where a file of ``run`` cannot be written: what was saved is whole.

    Raises:
        UserError: instead of an OSError.
    """
    try:
        yield
    except OSError as error:
        expected, action = _WAYS_OUT.get(error.errno or 0, _OTHERWISE)
        raise UserError(
            str(error.filename or run),
            "cannot write",
            got=error.strerror or error,
            expected=expected,
            action=f"{action}; nothing is lost, to continue: nestnet train --resume {run}",
        ) from error


def write_atomic(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` so that a kill leaves the old file or the new one."""
    temporary = path.with_name(path.name + ".partial")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)  # it takes room on a full disk
        raise
