"""Estimated cycles as experiments compare them."""

from __future__ import annotations

from codegen.target.memory_system import Span


def least(cycles: Span | None) -> int:
    """Return the lower end of an estimate; 0 where nothing was estimated."""
    return 0 if cycles is None else cycles.low
