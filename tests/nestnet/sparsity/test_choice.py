"""The choice of blocks is the best there is for the bytes and the time it takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nestnet.sparsity.blocks import BlockShape, FloatArray, groups_of, rank
from nestnet.sparsity.choice import Option, choose_blocks

SHAPES = (BlockShape(1, 1), BlockShape(2, 1), BlockShape(4, 1))
BLOCKS = 16


def _offered(seed: int) -> dict[str, list[Option]]:
    """Return three layers with three shapes: concave saliency, even bytes and time."""
    random = np.random.default_rng(seed)
    groups = groups_of(torch.randn(3, 2, 1, 1), 1)
    ranking = rank(groups, 1)
    offered: dict[str, list[Option]] = {}
    for name in "abc":
        options = []
        for shape in SHAPES:
            gains = np.sort(random.uniform(0.1, 5.0, BLOCKS))[::-1]
            count = np.arange(1, BLOCKS + 1)
            stored, time = random.uniform(0.5, 3) * count, random.uniform(1e3, 9e3) * count
            options.append(Option(shape, groups, ranking, 1, np.cumsum(gains), stored, time))
        offered[name] = options
    return offered


def _all_choices(offered: dict[str, list[Option]]) -> tuple[FloatArray, FloatArray]:
    """Return saliency, bytes and time of every choice, (choices, 3), and its group sizes."""
    totals, sizes = np.zeros((1, 3)), np.zeros((1, 0))
    for options in offered.values():
        each = np.concatenate(
            [np.stack([o.saliency, o.stored_bytes, o.time], axis=1) for o in options]
        )
        size = np.repeat([o.block.group_size for o in options], BLOCKS)
        totals = (totals[:, None] + each).reshape(-1, 3)
        sizes = np.column_stack([np.repeat(sizes, len(size), axis=0), np.tile(size, len(sizes))])
    return totals, sizes


def _has(sizes: FloatArray, blocks: dict[str, BlockShape]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (sizes == [block.group_size for block in blocks.values()]).all(1)
    return found


@pytest.mark.parametrize("seed", range(8))
def test_no_other_shapes_hold_more_in_as_few_bytes(seed: int) -> None:
    offered = _offered(seed)
    totals, sizes = _all_choices(offered)
    for budget in (20.0, 50.0, 90.0):
        blocks, price = choose_blocks(offered, budget, np.inf)
        assert price == 0
        mine = _has(sizes, blocks)
        fits = totals[:, 1] <= budget
        best = totals[mine & fits, 0].max()
        # Prices find choices on the upper hull of saliency over bytes; between two of them another
        # may be better by less than the hull's next step.
        dearer = totals[totals[:, 1] > budget]
        slack = 0.0 if not len(dearer) else 5.0
        assert best >= totals[fits, 0].max() - slack


@pytest.mark.parametrize("seed", range(8))
def test_time_gets_a_price_only_where_it_runs_out(seed: int) -> None:
    offered = _offered(seed)
    totals, sizes = _all_choices(offered)
    budget = 60.0
    fits = totals[:, 1] <= budget
    free, _ = choose_blocks(offered, budget, np.inf)
    spent_bytes = totals[fits & _has(sizes, free), 1].max()
    quickest = []
    for limit in (np.inf, 40e3, 30e3, 20e3, 1.0):
        blocks, price = choose_blocks(offered, budget, limit)
        mine = fits & _has(sizes, blocks)
        assert totals[mine, 1].max() >= 0.85 * spent_bytes
        mine &= totals[:, 1] >= 0.85 * spent_bytes
        assert mine.any()
        assert price > 0 or limit == np.inf or (totals[mine, 2] <= limit).any()
        quickest.append(float(totals[mine, 2].min()))
    assert quickest[-1] <= min(quickest[:-1]) + 1e-6
    assert price > 0 and quickest[-1] < quickest[0]


@pytest.mark.parametrize("seed", range(4))
def test_the_price_of_time_is_the_least_that_keeps_the_limit(seed: int) -> None:
    offered = _offered(seed)
    prices = [choose_blocks(offered, 60.0, limit)[1] for limit in np.linspace(300e3, 10e3, 12)]
    assert prices == sorted(prices)
    assert len(set(prices)) > 1
