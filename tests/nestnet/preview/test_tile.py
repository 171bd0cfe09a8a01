"""The tile that a board has room for: found by the planner, held against brute force, refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn
from torch.nn import functional as F

from codegen.emit import fit
from codegen.errors import UserError
from codegen.lower import lowering
from codegen.target.target import resolve
from nestnet import datasets, tasks
from nestnet.config import TrainConfig
from nestnet.preview import tile
from nestnet.preview.tile import Measured
from nestnet.preview.untrained import of_training
from tests.support.data_trees import Tree, encode, write_directory

BOARD = "qemu_m0"
"""16 KiB of RAM."""


class Halved(nn.Module):
    """A mask of two classes by way of a map of half the size."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.below = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Conv2d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        low = F.relu(self.below(F.max_pool2d(x, 2)))
        found: Tensor = self.head(_beside(x, F.interpolate(low, scale_factor=2.0)))
        return found


def _beside(one: Tensor, other: Tensor) -> Tensor:
    import torch

    return torch.cat([one, other], 1)


def data(folder: Path, size: tuple[int, int], text: str = "") -> str:
    """Write three images with masks."""
    random = np.random.default_rng(0)
    files: Tree = {"masks.toml": text.encode()}
    for name in ("a", "b", "c"):
        files[f"images/{name}.png"] = encode(random.integers(0, 256, size).astype(np.uint8))
        files[f"masks/{name}.png"] = encode(random.integers(0, 2, size).astype(np.uint8))
    return str(write_directory(files, folder))


def config(folder: str, **settings: object) -> TrainConfig:
    given = {"dataset": "masks", "data": folder, "sparsity": 0.0, "board": BOARD, "tile": "auto"}
    return TrainConfig(**{**given, **settings})  # type: ignore[arg-type]


def test_the_largest_tile_that_the_firmware_fits_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = config(data(tmp_path, (53, 61), "margin = 3\ntile = [8, 8]"))
    found = tile.resolve(given, Halved())
    side = found.tile[0]
    assert found.tile == (side, side) and side % 2 == 0 and 8 < side < 53
    printed = capsys.readouterr().out
    assert f"tile: {side}x{side}, arena " in printed and f"; {side + 2}x{side + 2}, a" in printed
    task, read = tasks.with_data(found)
    assert read.input_shape == (side, side, 1) and read.cut is not None and read.cut.margin == 3
    for sides, fits in ((side, True), (side + 2, False)):
        shape = (sides, sides, 1)
        graph = of_training(found, task, read, module=Halved(), input_shape=shape)
        needs = fit.needs(lowering.lower(graph, resolve(BOARD)))
        taken = needs.arena_bytes + needs.edge_bytes + needs.stack_bytes + 4096
        assert (taken <= 16 * 1024) == fits
    named = replace(found, tile=(side + 2, side + 2))
    assert tile.resolve(named, Halved(), quiet=True) == named, "4 KiB less is asked for"
    assert not capsys.readouterr().out


def test_no_tile_is_larger_than_the_images(tmp_path: Path) -> None:
    """But for what is left over of the network's stride."""
    found = tile.resolve(config(data(tmp_path, (9, 21))), Halved(), quiet=True)
    assert found.tile == (10, 22)


@pytest.mark.parametrize(("settings", "text", "message"), [
    ({"board": "host"}, "", r"--board: has no RAM to fit; got host"),
    ({"tile": 60}, "", r"no RAM for the tile; got 60x60, arena [\d,]+ bytes, expected an arena of"),
    ({"margin": 20}, "", r"no room for the margin; got \d+x\d+, arena .* bytes, margin 20"),
    ({}, "tile = [400, 400]\nmargin = 150", r"margin: not acceptable; got 150, expected 0\.\.127"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(
    settings: dict[str, object], text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        tile.resolve(config(data(tmp_path, (67, 71), text), **settings), Halved(), quiet=True)


def fake(limit: int) -> tuple[Callable[[tuple[int, int]], Measured], list[tuple[int, int]]]:
    """Return what measures tiles that fit up to so many pixels, and a list of those it was asked
    for."""
    asked = []

    def measure(size: tuple[int, int]) -> Measured:
        asked.append(size)
        taken = size[0] * size[1]
        return Measured(size, taken, 0, 0, None if taken <= limit else limit)

    return measure, asked


@pytest.mark.parametrize(
    ("limit", "first", "found", "larger", "most_asked"),
    [
        (24 * 24, 24, (24, 24), (32, 32), 2),
        (24 * 24 + 7, 41, (24, 24), (32, 32), 3),
        (24 * 24, 0, (24, 24), (32, 32), 4),
        (32 * 40, 999, (32, 40), None, 1),
        (32 * 40 - 1, 999, (32, 32), (32, 40), 2),
        (63, 30, (8, 8), None, 3),
    ],
)
def test_the_search(
    limit: int,
    first: int,
    found: tuple[int, int],
    larger: tuple[int, int] | None,
    most_asked: int,
) -> None:
    measure, asked = fake(limit)
    best, beyond = tile._largest(measure, first, 8, (32, 40))
    assert best.tile == found and best.fits == (limit >= 64)
    if larger is not None:
        assert beyond is not None and beyond.tile == larger and not beyond.fits
    elif best.fits:
        assert beyond is None
    assert len(asked) <= most_asked


@pytest.mark.parametrize(("settings", "message"), [
    ({"tile": "auto"}, r"--tile: the largest tile is that of one board; got auto and no board"),
    ({"board": "stm32f4"}, r"--board: says what .* has to fit, and there is neither"),
    ({"tile": (0, 8)}, r"'tile': not acceptable; got \(0, 8\)"),
    ({"tile": (8, 8, 8)}, r"'tile': not acceptable"),
    ({"margin": -2}, r"'margin': not acceptable; got -2"),
    ({"tile": "8y8"}, r"'tile': not a size; got '8y8'"),
])  # fmt: skip
def test_settings_that_mean_nothing_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrainConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(("settings", "message"), [
    ({"tile": (8, 8)}, r"--tile: the data set 'digits' is not cut into tiles; got 8x8"),
    ({"margin": 2}, r"--margin: the data set 'digits' is not cut into tiles; got 2"),
])  # fmt: skip
def test_data_without_tiles_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        datasets.of(TrainConfig(**settings))  # type: ignore[arg-type]


def test_a_tile_that_is_given_goes_before_that_of_the_data(tmp_path: Path) -> None:
    folder = data(tmp_path, (13, 11), "tile = [4, 4]\nmargin = 1")
    found = datasets.of(config(folder, board="", tile=(7, 5), resize=(26, 22)))
    assert found.input_shape == (7, 5, 1) and found.cut is not None
    assert found.cut.margin == 1 and found.cut.largest == (26, 22)
    other = datasets.of(config(folder, board="", tile=(), margin=0))
    assert other.input_shape == (4, 4, 1) and other.cut is not None and other.cut.margin == 0
