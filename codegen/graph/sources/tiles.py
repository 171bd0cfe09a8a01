"""The tiles of an image that is larger than what a network takes: where each lies, and the part of
the image that is its own.

Neighbours overlap, so that at least ``margin`` pixels lie between what a tile answers for and each
border it has inside the image. Every pixel is one tile's own. ``nn_tile_at`` of
firmware/tasks/nn_segmentation.c is the same in C.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

OUTSIDE = 128
"""The pixel beyond an image that is smaller than a tile: mid-grey, which is 0 in int8."""


@dataclass(frozen=True)
class Span:
    """A tile along one axis, in pixels of the image."""

    start: int
    first: int
    """Of its own pixels."""
    end: int
    """One behind its last own pixel."""

    @property
    def own(self) -> slice:
        """Return its own pixels."""
        return slice(self.first, self.end)

    @property
    def inside(self) -> slice:
        """Return the same, counted from its start."""
        return slice(self.first - self.start, self.end - self.start)


@dataclass(frozen=True)
class Tile:
    """A piece of an image."""

    rows: Span
    columns: Span

    @property
    def own(self) -> tuple[slice, slice]:
        """Return what it answers for, in the image."""
        return self.rows.own, self.columns.own

    @property
    def inside(self) -> tuple[slice, slice]:
        """Return the same within the tile."""
        return self.rows.inside, self.columns.inside


def tiles(image: tuple[int, int], tile: tuple[int, int], margin: int) -> list[Tile]:
    """Return the tiles of an image, row by row.

    Args:
        image: its height and width, each at least 1.
        tile: height and width of a tile, both more than twice the ``margin``. Along an axis that is
            shorter than it, a tile ends beyond the image.
        margin: pixels of a tile's answer that are left to its neighbours, at borders that lie
            inside the image.
    """
    rows, columns = (_spans(*pair, margin) for pair in zip(image, tile, strict=True))
    return [Tile(row, column) for row in rows for column in columns]


def cut(image: NDArray[Any], tile: Tile, size: tuple[int, int], outside: int) -> NDArray[Any]:
    """Return what ``tile`` of ``size`` (height, width) shows of an ``image`` (h, w, ...)."""
    top, left = tile.rows.start, tile.columns.start
    seen = image[top : top + size[0], left : left + size[1]]
    missing = [(0, side - length) for side, length in zip(size, seen.shape, strict=False)]
    missing += [(0, 0)] * (image.ndim - 2)
    return np.pad(seen, missing, constant_values=outside)


def _spans(length: int, tile: int, margin: int) -> list[Span]:
    """Return the tiles along an axis of ``length``; the last one ends where the image does."""
    step = tile - 2 * margin
    last = max(0, -((tile - length) // step))
    return [
        Span(
            start=min(index * step, max(length - tile, 0)),
            first=index * step + margin if index else 0,
            end=(index + 1) * step + margin if index < last else length,
        )
        for index in range(last + 1)
    ]
