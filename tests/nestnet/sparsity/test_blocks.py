"""Blocks lie as the streams do, and a map of blocks keeps whole blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codegen.formats import nested
from codegen.graph.ir import NEVER
from nestnet.sparsity.blocks import from_stream_order, groups_of, level_map, rank, stream_order

SHAPES = [(5, 7, 3, 2), (11, 13), (3, 4, 1, 1), (2, 17, 5, 3)]


def _weight(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("group_size", [1, 2, 4])
def test_stream_order_is_that_of_the_nested_format(shape: tuple[int, ...], group_size: int) -> None:
    groups = groups_of(_weight(shape), group_size)
    count = int(np.prod(groups.shape))
    numbered = (torch.arange(count) % 251).to(torch.uint8).view(groups.shape)
    as_stored = numbered[:, :, None, None] if numbered.dim() == 2 else numbered
    expected = nested.position_order(as_stored.permute(0, 2, 3, 1).numpy())
    rows = stream_order(numbered)
    assert np.array_equal(rows, expected)
    assert torch.equal(from_stream_order(rows.astype(np.uint8), groups.shape), numbered)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("block", [1, 2, 4, 8, 16])
def test_a_ranking_holds_every_weight_once(shape: tuple[int, ...], block: int) -> None:
    weight = _weight(shape)
    groups = groups_of(weight, 4)
    ranking = rank(groups, block)
    assert sorted(ranking.order.tolist()) == list(range(len(ranking.order)))
    assert np.all(np.diff(ranking.score) <= 0)
    assert ranking.weights[-1] == weight.numel()
    assert ranking.groups[-1] == groups.energy.size
    assert ranking.energy[-1] == pytest.approx(float(weight.double().square().sum()), rel=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("block", [1, 2, 4, 8])
def test_a_map_keeps_whole_blocks_of_one_level(shape: tuple[int, ...], block: int) -> None:
    groups = groups_of(_weight(shape), 2)
    ranking = rank(groups, block)
    count = -(-2 * len(ranking.order) // 3)
    levels = (np.arange(count) * 3 // count).astype(np.uint8)
    placed = level_map(groups, ranking, levels)
    assert placed.group_size == 2
    found = placed.levels
    assert found.shape == groups.shape
    assert int((found != NEVER).sum()) == ranking.groups[count - 1]
    for row in stream_order(found):
        for start in range(0, len(row), block):
            assert len(set(row[start : start + block].tolist())) == 1
