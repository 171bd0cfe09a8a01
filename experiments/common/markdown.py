"""Tables and numbers as pages show them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table without a line's end after its last row."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


def spaced(value: float) -> str:
    """Return a number with spaces between groups of three digits, a fraction with two decimals."""
    return f"{value:.2f}" if value != int(value) else f"{int(value):,}".replace(",", " ")
