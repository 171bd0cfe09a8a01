"""Assign every group of weights to the first level that contains it.

A level's mask is ``level_map <= level``, so sub-networks are nested by construction; what has to be
decided is only an order of the groups and how many each level takes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from codegen.errors import UserError
from codegen.ir import NEVER


@dataclass(frozen=True, eq=False)
class LevelMap:
    """Which level each group of one layer comes with."""

    levels: Tensor
    """As :class:`nestnet.layers.NestedWeight` has it."""
    group_size: int
    """G."""


LAYER_FLOOR = 0.2
"""A layer keeps at least this share of a level's density, so no layer is cut off."""


def assign_levels(
    scores: Mapping[str, Tensor],
    sizes: Mapping[str, Tensor],
    densities: Sequence[float],
    allocation: str,
) -> dict[str, Tensor]:
    """Return each layer's level map.

    Levels take groups in order of falling score until they hold their share of the weights,
    starting with the sparsest; a later level keeps everything the earlier ones took.

    Args:
        scores: importance of each group, per layer, any shape.
        sizes: weights in each group, same shapes, integer.
        densities: share of weights each level keeps, not decreasing.
        allocation: ``global`` ranks the groups of all layers together (each layer keeps at least
            LAYER_FLOOR of the density), as does ``latency``, whose scores weigh the time a group
            takes (:func:`nestnet.sparsity.scores.per_latency`); ``uniform`` gives each layer the
            same density.

    Returns:
        uint8 maps shaped like the scores: first level that contains the group, NEVER for none.
    """
    if allocation == "uniform":
        maps = {
            name: _take(scores[name].flatten(), sizes[name].flatten(), densities) for name in scores
        }
        return {name: maps[name].view(scores[name].shape) for name in scores}
    names = list(scores)
    floors = {n: [LAYER_FLOOR * d for d in densities] for n in names}
    protected = [_take(scores[n].flatten(), sizes[n].flatten(), floors[n]) for n in names]
    ranks = torch.cat([scores[n].flatten() for n in names])
    weights = torch.cat([sizes[n].flatten() for n in names])
    joined = _take(ranks, weights, densities, torch.cat(protected))
    parts = torch.split(joined, [scores[n].numel() for n in names])
    return {n: part.view(scores[n].shape) for n, part in zip(names, parts, strict=True)}


def _take(
    scores: Tensor, sizes: Tensor, densities: Sequence[float], protected: Tensor | None = None
) -> Tensor:
    """Return the level map of one flat list of groups.

    ``protected`` is a level map whose groups are taken first, whatever their score. At least one
    group is kept at every level.
    """
    scores = scores.cpu().double()
    sizes = sizes.cpu()
    order = torch.argsort(scores, descending=True, stable=True)
    result = torch.full((scores.numel(),), NEVER, dtype=torch.uint8)
    total = int(sizes.sum())
    for level, density in enumerate(densities):
        if protected is not None:
            forced = (protected <= level) & (result == NEVER)
            result[forced] = level
        free = order[result[order] == NEVER]
        missing = round(density * total) - int(sizes[result != NEVER].sum())
        if missing > 0:
            # A group is taken when at least half of it fits: the total is off by half a group.
            filled = sizes[free].cumsum(0) - sizes[free] / 2
            result[free[filled <= missing]] = level
        if level == 0 and not bool((result == 0).any()):
            result[order[0]] = 0
    return result


def densities_of(
    maps: Mapping[str, Tensor], sizes: Mapping[str, Tensor], levels: int
) -> list[float]:
    """Return the share of all weights in ``maps`` that each level keeps."""
    total = sum(int(sizes[name].sum()) for name in maps)
    kept = [
        sum(int(sizes[name].cpu()[maps[name].cpu() <= level].sum()) for name in maps)
        for level in range(levels)
    ]
    return [k / total if total else 1.0 for k in kept]


def check_nested(masks: Sequence[Tensor], where: str) -> None:
    """Assert that each level's mask is contained in the next one's.

    Args:
        masks: one 0/1 tensor per level, sparsest first, equal shapes.
        where: layer name for the message.

    Raises:
        AssertionError: a weight of one level is missing in the next: a defect, not a user's error.
    """
    for level, (inner, outer) in enumerate(itertools.pairwise(masks)):
        lost = int(((inner != 0) & (outer == 0)).sum())
        if lost:
            raise AssertionError(
                f"{where}: {lost} weights of level {level} not in level {level + 1}"
            )


def check_distinct(sizes: Mapping[str, Tensor], sparsity: Sequence[float], allocation: str) -> None:
    """Check that the layers hold enough groups to tell the levels apart.

    Args:
        sizes: weights in each group, per prunable layer.
        sparsity: the levels' sparsities, strictly decreasing.
        allocation: as for :func:`assign_levels`; with ``uniform`` one layer has to tell them apart.

    Raises:
        UserError: no prunable layer, or two levels would keep the same groups.
    """
    if not sizes:
        raise UserError(
            "--levels",
            "the network has no layer that can be pruned",
            got="first convolution, last linear and grouped layers only",
            expected="at least one other convolution or linear layer",
            action="Add a layer, or train dense with --sparsity 0",
        )
    layers = [layer.flatten() for layer in sizes.values()]
    pools = layers if allocation == "uniform" else [torch.cat(layers)]
    present: set[int] = set()
    for pool in pools:
        rank = torch.arange(pool.numel(), 0, -1)
        present.update(_take(rank, pool, [1.0 - s for s in sparsity]).tolist())
    if len(present - {NEVER}) < len(sparsity):
        groups = sum(layer.numel() for layer in layers)
        raise UserError(
            "the network",
            "too few groups to tell the levels apart",
            got=f"{groups} groups for {len(sparsity)} levels",
            expected="at least one more group at each level",
            action="Use fewer levels, sparsities further apart, or a smaller --group",
        )
