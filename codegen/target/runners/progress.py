"""Say how far a run is, from the growth of the file it writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Progress = Callable[[str, int, int], None]
"""Called with a stage ("device", "reference"), inferences done and inferences in all."""

_POLL_S = 0.2


@contextmanager
def watch(path: Path, bytes_each: int, total: int, progress: Progress | None) -> Iterator[None]:
    """Call ``progress`` from a thread of its own while the body runs, and once at its end.

    Args:
        path: the file that grows by ``bytes_each`` per inference.
        bytes_each: size of one output.
        total: inferences in all.
        progress: None for silence.
    """
    if progress is None:
        yield
        return
    stopped = threading.Event()

    def poll() -> None:
        while not stopped.wait(_POLL_S):
            size = path.stat().st_size if path.exists() else 0
            progress("device", min(size // bytes_each, total), total)

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
    progress("device", total, total)
