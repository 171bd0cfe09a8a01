"""Assign every group of weights to the first level that contains it.

A level's mask is ``level_map <= level``, so sub-networks are nested by construction; what has to be
decided is only an order of the groups and how many each level takes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from codegen.errors import UserError
from codegen.graph.ir import NEVER


@dataclass(frozen=True, eq=False)
class LevelMap:
    """Which level each group of one layer comes with."""

    levels: Tensor
    """As :class:`nestnet.net.nested.NestedWeight` has it."""
    group_size: int
    """G."""


Layers = Mapping[str, Tensor]
"""One tensor per layer."""

NO_CHANNEL = -1
"""Number of an output channel that no level uses."""
LAYER_FLOOR = 0.2
"""A layer keeps at least this share of a level's density, so no layer is cut off."""


def assign_levels(
    scores: Mapping[str, Tensor],
    sizes: Mapping[str, Tensor],
    densities: Sequence[float],
    allocation: str,
    rows: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Return each layer's level map.

    Levels take groups in order of falling score until they hold their share of the weights,
    starting with the sparsest; a later level keeps everything the earlier ones took.

    With several levels each adds at least one group to every output channel that is used at all,
    its best one: the nested format stores a dummy group for a channel to which a level adds
    none, which takes as many bytes and as much time (docs/format.md, "The nested format").

    Args:
        scores: importance of each group, per layer, any shape.
        sizes: weights in each group, same shapes, integer.
        densities: share of weights each level keeps, not decreasing.
        allocation: ``global`` ranks the groups of all layers together (each layer keeps at least
            LAYER_FLOOR of the density), as does ``latency``, whose scores weigh the time a group
            takes (:func:`nestnet.sparsity.scores.per_latency`); ``uniform`` gives each layer the
            same density.
        rows: output channel of each group, same shapes; default: the index of their first axis.

    Returns:
        uint8 maps shaped like the scores: first level that contains the group, NEVER for none.
    """
    rows = rows or {name: _first_index(layer) for name, layer in scores.items()}
    take = _uniform if allocation == "uniform" else _joined
    maps = take(scores, sizes, densities, rows)
    return {name: maps[name].view(layer.shape) for name, layer in scores.items()}


def _uniform(scores: Layers, sizes: Layers, densities: Sequence[float], rows: Layers) -> Layers:
    """Return the flat level maps of layers of equal density.

    Layers too narrow for it, with one group a channel and level, keep more; the others then share
    what is left.
    """
    maps = {n: _take_channels(scores[n], sizes[n], densities, rows[n], None) for n in scores}
    kept = {
        name: densities_of({name: found}, {name: sizes[name].flatten()}, len(densities))
        for name, found in maps.items()
    }
    narrow = {
        name: kept[name]
        for name in maps
        if any(
            share > density + 1 / scores[name].numel()
            for share, density in zip(kept[name], densities, strict=True)
        )
    }
    if not narrow or len(narrow) == len(maps):
        return maps
    wide = [name for name in maps if name not in narrow]
    excess = [
        sum(int(sizes[name].sum()) * (narrow[name][level] - density) for name in narrow)
        / sum(int(sizes[name].sum()) for name in wide)
        for level, density in enumerate(densities)
    ]
    rest = [max(density - more, 0.0) for density, more in zip(densities, excess, strict=True)]
    return maps | {n: _take_channels(scores[n], sizes[n], rest, rows[n], None) for n in wide}


def _joined(scores: Layers, sizes: Layers, densities: Sequence[float], rows: Layers) -> Layers:
    """Return the flat level maps of layers whose groups are ranked together."""
    least = [LAYER_FLOOR * density for density in densities]
    floors = [_take(scores[n].flatten(), sizes[n].flatten(), least) for n in scores]
    joined = _take_channels(
        torch.cat([scores[n].flatten() for n in scores]),
        torch.cat([sizes[n].flatten() for n in scores]),
        densities,
        _numbered([rows[n] for n in scores]),
        torch.cat(floors),
    )
    parts = torch.split(joined, [layer.numel() for layer in scores.values()])
    return dict(zip(scores, parts, strict=True))


def _take_channels(
    scores: Tensor,
    sizes: Tensor,
    densities: Sequence[float],
    channel: Tensor,
    protected: Tensor | None,
) -> Tensor:
    """Return :func:`_take`'s map with a group of every used channel at each of several levels."""
    scores, sizes, channel = scores.flatten(), sizes.flatten(), channel.flatten()
    found = _take(scores, sizes, densities, protected)
    if len(densities) == 1:
        return found
    used = torch.isin(channel, torch.unique(channel[found != NEVER]))
    return _take(scores, sizes, densities, protected, torch.where(used, channel, NO_CHANNEL))


def _first_index(layer: Tensor) -> Tensor:
    """Return the index of the first axis for every element of ``layer``."""
    return torch.arange(len(layer)).view(-1, *[1] * (layer.dim() - 1)).expand(layer.shape)


def _numbered(rows: Sequence[Tensor]) -> Tensor:
    """Return the output channels of several layers' groups, flat, as different numbers."""
    first = [0, *itertools.accumulate(int(layer.max()) + 1 for layer in rows)]
    return torch.cat([layer.flatten() + start for layer, start in zip(rows, first, strict=False)])


def _take(
    scores: Tensor,
    sizes: Tensor,
    densities: Sequence[float],
    protected: Tensor | None = None,
    channel: Tensor | None = None,
) -> Tensor:
    """Return the level map of one flat list of groups.

    ``protected`` is a level map whose groups are taken whatever their score. At least one group is
    kept at every level; with ``channel``, one more of each that is not NO_CHANNEL.
    """
    scores = scores.cpu().double()
    sizes = sizes.cpu()
    order = torch.argsort(scores, descending=True, stable=True)
    result = torch.full((scores.numel(),), NEVER, dtype=torch.uint8)
    total = int(sizes.sum())
    for level, density in enumerate(densities):
        if channel is not None:
            free = order[(result[order] == NEVER) & (channel[order] != NO_CHANNEL)]
            best = np.unique(channel[free].numpy(), return_index=True)[1]
            result[free[best]] = level
        if protected is not None:  # after the channels' best, among which most of these are
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
