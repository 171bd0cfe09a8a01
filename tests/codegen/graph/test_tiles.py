"""Tiles cover every pixel once, far enough from the borders they have inside an image."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.graph.sources.tiles import cut, tiles

OTHER = (17, 7)
"""An axis and a tile's side beside the one that is looked at."""


@pytest.mark.parametrize(
    ("side", "margin"), [(13, 0), (13, 1), (13, 3), (7, 3), (7, 2), (101, 3), (2, 0)]
)
@pytest.mark.parametrize("length", [1, 2, 7, 12, 13, 14, 29, 31, 47, 101, 113])
def test_every_pixel_has_one_tile_that_sees_around_it(length: int, side: int, margin: int) -> None:
    counted = np.zeros((length, OTHER[0]), int)
    found = tiles((length, OTHER[0]), (side, OTHER[1]), margin)
    for tile in found:
        counted[tile.own] += 1
        rows = tile.rows
        assert 0 <= rows.start <= rows.first < rows.end <= min(rows.start + side, length)
        assert rows.start == 0 or rows.first - rows.start >= margin
        assert rows.end == length or rows.start + side - rows.end >= margin
        assert rows.start + side <= max(length, side), "beyond the image only where it is smaller"
    assert (counted == 1).all()
    starts = sorted({tile.rows.start for tile in found})
    assert len(starts) == 1 + max(0, -(-(length - side) // (side - 2 * margin)))
    order = [(tile.rows.start, tile.columns.start) for tile in found]
    assert order == sorted(order)


@pytest.mark.parametrize("shape", [(11, 5), (11, 5, 3)])
def test_tiles_put_together_are_the_image(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    made = np.zeros_like(image)
    for tile in tiles((11, 5), (7, 8), 2):
        piece = cut(image, tile, (7, 8), 99)
        assert piece.shape[:2] == (7, 8) and (piece[:, 5:] == 99).all()
        made[tile.own] = piece[tile.inside]
    assert np.array_equal(made, image)
