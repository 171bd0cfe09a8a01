"""Guard a run's folder while it is written: one process at a time, and a way on when a disk is
full."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codegen.errors import UserError
from nestnet.runs import CONFIG


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
        raise UserError(
            str(error.filename or run),
            "cannot write",
            got=error.strerror or error,
            expected="room on the disk and a writable folder",
            action=f"Make room; nothing is lost, to continue: nestnet train --resume {run}",
        ) from error
