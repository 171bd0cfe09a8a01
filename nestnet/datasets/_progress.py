"""Progress bars on the standard error stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track as rich_track

T = TypeVar("T")


def track(items: Iterable[T], text: str, *, total: int) -> Iterator[T]:
    """Yield ``items`` while a bar with ``text`` shows how many of ``total`` are done."""
    console = Console(stderr=True)
    yield from rich_track(
        items, text, total=total, console=console, transient=True, disable=not console.is_terminal
    )
