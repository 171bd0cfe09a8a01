"""Nesting, densities and floors of level maps, over random layers and odd shapes."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.errors import UserError
from codegen.graph.ir import NEVER
from nestnet.sparsity.levels import (
    LAYER_FLOOR,
    assign_levels,
    check_distinct,
    check_nested,
    densities_of,
)
from nestnet.sparsity.scores import group_magnitude, group_sizes, per_latency

SHAPES = [(7, 5, 3, 3), (13, 11), (1, 1, 1, 1), (3, 2, 5, 1), (17, 16, 1, 1), (2, 19)]

layer_lists = st.lists(st.sampled_from(SHAPES), min_size=1, max_size=4)
density_lists = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8).map(sorted)
any_assignment = given(
    shapes=layer_lists,
    group=st.sampled_from([1, 2, 4]),
    densities=density_lists,
    allocation=st.sampled_from(["global", "uniform"]),
    seed=st.integers(0, 1000),
)


def _layers(
    shapes: list[tuple[int, ...]], group: int, seed: int
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    scores, sizes = {}, {}
    for index, shape in enumerate(shapes):
        weight = torch.randn(shape, generator=generator) * (index + 1)
        scores[f"layer{index}"] = group_magnitude(weight, group)
        sizes[f"layer{index}"] = group_sizes(weight.shape, group)
    return scores, sizes


@settings(max_examples=150, deadline=None)
@any_assignment
def test_maps_are_nested_and_hit_their_density(
    shapes: list[tuple[int, ...]],
    group: int,
    densities: list[float],
    allocation: str,
    seed: int,
) -> None:
    scores, sizes = _layers(shapes, group, seed)
    maps = assign_levels(scores, sizes, densities, allocation)
    levels = len(densities)
    for name, level_map in maps.items():
        assert level_map.dtype == torch.uint8
        assert level_map.shape == scores[name].shape
        assert all(v < levels or v == NEVER for v in level_map.unique().tolist())
        check_nested([(level_map <= k).float() for k in range(levels)], name)
        assert bool((level_map == 0).any()), f"{name} is cut off at level 0"
    total = sum(int(size.sum()) for size in sizes.values())
    achieved = densities_of(maps, sizes, levels)
    pools = [list(maps)] if allocation == "global" else [[name] for name in maps]
    most: dict[str, float] = {}
    for level, (wanted, got) in enumerate(zip(densities, achieved, strict=True)):
        # Half a group of rounding per layer and of each floor; at least one group per layer.
        slack = len(maps) * (group / 2 + 1 + group)
        for pool in pools:
            # One group more a channel than the level before has, where that is above the density.
            before = most.get(pool[0], 0.0) if level else 0.0
            added = sum(group * len(sizes[name]) for name in pool) if levels > 1 else 0
            share = wanted * sum(int(sizes[name].sum()) for name in pool)
            most[pool[0]] = max(share, before + added)
        assert wanted * total - slack <= got * total <= sum(most.values()) + (level + 1) * slack


@settings(max_examples=100, deadline=None)
@any_assignment
def test_every_level_adds_a_group_to_every_used_channel(
    shapes: list[tuple[int, ...]],
    group: int,
    densities: list[float],
    allocation: str,
    seed: int,
) -> None:
    scores, sizes = _layers(shapes, group, seed)
    maps = assign_levels(scores, sizes, densities, allocation)
    levels = len(densities)
    for name, level_map in maps.items():
        for channel, score in zip(level_map.flatten(1), scores[name].flatten(1), strict=True):
            present = sorted(set(channel.tolist()))
            used = [level for level in present if level != NEVER]
            if used and levels > 1:
                assert used == list(range(len(used)))
                assert len(used) == levels or NEVER not in present
            for first, second in itertools.pairwise(present):
                assert score[channel == first].min() >= score[channel == second].max()


@pytest.mark.parametrize("group", [1, 2, 4])
def test_a_level_takes_the_best_groups(group: int) -> None:
    scores, sizes = _layers([(7, 5, 3, 3)], group, seed=1)
    score = scores["layer0"]
    level_map = assign_levels(scores, sizes, [0.1], "uniform")["layer0"]
    assert score[level_map == 0].min() >= score[level_map == NEVER].max()
    level_map = assign_levels(scores, sizes, [0.1, 0.4], "uniform")["layer0"]
    for inner, outer in ((0, 1), (1, NEVER)):
        best = score[level_map == outer].max()
        for channel, values in zip(level_map.flatten(1), score.flatten(1), strict=True):
            only = (channel == inner).sum() == 1
            assert only or values[channel == inner].min() >= best


def test_narrow_layers_leave_less_to_the_others() -> None:
    scores = {"wide": torch.rand(10, 100), "narrow": torch.rand(40, 4)}
    sizes = {name: torch.ones_like(score, dtype=torch.int64) for name, score in scores.items()}
    densities = [0.1, 0.2, 0.3, 0.5]
    maps = assign_levels(scores, sizes, densities, "uniform")
    narrow = densities_of({"narrow": maps["narrow"]}, {"narrow": sizes["narrow"]}, 4)
    assert min(n / d for n, d in zip(narrow, densities, strict=True)) > 1.5
    assert densities_of(maps, sizes, 4) == pytest.approx(densities, abs=1e-3)


def test_global_allocation_follows_the_scores_but_keeps_a_floor() -> None:
    scores = {"strong": torch.full((10, 10), 2.0), "weak": torch.full((10, 10), 1.0)}
    sizes = {name: torch.ones(10, 10, dtype=torch.int64) for name in scores}
    maps = assign_levels(scores, sizes, [0.5], "global")
    kept = {name: int((maps[name] == 0).sum()) for name in maps}
    assert kept == {"strong": 90, "weak": round(100 * LAYER_FLOOR * 0.5)}
    maps = assign_levels(scores, sizes, [0.5], "uniform")
    assert {name: int((maps[name] == 0).sum()) for name in maps} == {"strong": 50, "weak": 50}


def test_latency_allocation_prunes_what_runs_often() -> None:
    equal = torch.ones(10, 10)
    scores = {"large map": per_latency(equal, 16 * 16), "small map": per_latency(equal, 4 * 4)}
    assert float(scores["small map"][0, 0]) == 4 * float(scores["large map"][0, 0])
    sizes = {name: torch.ones(10, 10, dtype=torch.int64) for name in scores}
    maps = assign_levels(scores, sizes, [0.5], "latency")
    assert {name: int((maps[name] == 0).sum()) for name in maps} == {
        "large map": round(100 * LAYER_FLOOR * 0.5),
        "small map": 90,
    }


def test_check_nested_finds_a_lost_weight() -> None:
    inner = torch.tensor([1.0, 1.0, 0.0])
    check_nested([inner, torch.tensor([1.0, 1.0, 1.0])], "ok")
    with pytest.raises(AssertionError, match="conv1: 1 weights of level 0"):
        check_nested([inner, torch.tensor([1.0, 0.0, 1.0])], "conv1")


def test_group_magnitude_does_not_favour_full_groups() -> None:
    weight = torch.full((3, 5, 1, 1), 0.5)
    assert torch.equal(group_magnitude(weight, 4), torch.full((3, 2, 1, 1), 0.5))
    assert group_sizes(weight.shape, 4)[0, :, 0, 0].tolist() == [4, 1]


def test_group_magnitude_is_the_rms_of_consecutive_input_channels() -> None:
    weight = torch.randn(3, 7, 2, 5, generator=torch.Generator().manual_seed(0))
    scores = group_magnitude(weight, 2)
    assert scores.shape == (3, 4, 2, 5)
    expected = weight[1, 2:4, 1, 3].square().mean().sqrt()
    assert scores[1, 1, 1, 3] == pytest.approx(float(expected), rel=1e-6)
    assert scores[2, 3, 0, 4] == pytest.approx(abs(float(weight[2, 6, 0, 4])), rel=1e-6)


def test_levels_that_cannot_differ_are_a_user_error() -> None:
    few = {"conv": group_sizes(torch.Size((1, 4, 1, 1)), 4)}
    with pytest.raises(UserError, match="too few groups"):
        check_distinct(few, (0.9, 0.5), "global")
    with pytest.raises(UserError, match="too few groups"):
        check_distinct({"conv": few["conv"], "again": few["conv"]}, (0.9, 0.5), "uniform")
    many = {**few, "big": group_sizes(torch.Size((16, 16, 3, 3)), 4)}
    check_distinct(many, (0.9, 0.8, 0.7, 0.5), "global")
    check_distinct(many, (0.9, 0.8, 0.7, 0.5), "uniform")  # one layer tells them apart
    with pytest.raises(UserError, match="no layer that can be pruned"):
        check_distinct({}, (0.5,), "global")


def test_the_floor_of_a_layer_counts_the_groups_of_its_channels() -> None:
    """One group of each of 17 channels is 1/8 of the weights: the floor must not come on top."""
    scores, sizes = _layers([(17, 16, 1, 1)], group=2, seed=0)
    maps = assign_levels(scores, sizes, [0.125, 1.0], "global")
    assert densities_of(maps, sizes, 2) == [0.125, 1.0]
