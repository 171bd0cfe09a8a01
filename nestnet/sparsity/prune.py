"""Give the layers of a network their level maps, now or along the pruning ramp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from nestnet.net.network import PrunableLayer
from nestnet.sparsity.levels import (
    LevelMap,
    assign_levels,
    check_distinct,
    check_nested,
    densities_of,
)
from nestnet.sparsity.schedule import cubic_sparsity
from nestnet.sparsity.scores import group_magnitude, group_sizes, per_latency

UPDATES_PER_RAMP = 32
"""Times the masks move during the ramp; more changes accuracy little and costs time."""

Layers = Mapping[str, PrunableLayer]


def check_prunable(
    layers: Layers, sparsity: Sequence[float], group_size: int, allocation: str
) -> None:
    """Check that ``layers`` can hold the levels; UserError otherwise."""
    sizes = {name: group_sizes(layer.weight.shape, group_size) for name, layer in layers.items()}
    check_distinct(sizes, sparsity, allocation)


@torch.no_grad()
def prune(
    layers: Layers,
    sparsity: Sequence[float],
    progress: float,
    group_size: int,
    allocation: str,
) -> None:
    """Move the masks to where the ramp wants them at ``progress`` (0..1).

    Asserts that every level's weights are weights of the next level. Pruned weights keep their
    values and may come back while the ramp runs.
    """
    now = [1.0 - cubic_sparsity(s, progress) for s in sparsity]
    install(layers, magnitude_maps(layers, now, group_size, allocation), len(sparsity))


@torch.no_grad()
def magnitude_maps(
    layers: Layers, densities: Sequence[float], group_size: int, allocation: str
) -> dict[str, LevelMap]:
    """Return the level maps that keep the groups of largest magnitude, a density per level."""
    scores = {name: group_magnitude(layer.weight, group_size) for name, layer in layers.items()}
    if allocation == "latency":
        scores = {name: per_latency(scores[name], layers[name].positions) for name in layers}
    sizes = {name: group_sizes(layer.weight.shape, group_size) for name, layer in layers.items()}
    maps = assign_levels(scores, sizes, densities, allocation)
    return {name: LevelMap(found, group_size) for name, found in maps.items()}


def install(layers: Layers, maps: Mapping[str, LevelMap], levels: int) -> None:
    """Give the layers their level maps; asserts that each level's mask is within the next one's."""
    for name, found in maps.items():
        module = layers[name].module
        module.set_level_map(found.levels, found.group_size)
        masks = [module.mask(level) for level in range(levels)]
        check_nested([mask for mask in masks if mask is not None], name)


def moves_at(step: int, steps: int) -> bool:
    """Return whether the masks move after ``step`` of a ramp of ``steps``; the last one does."""
    interval = max(1, steps // UPDATES_PER_RAMP)
    return (step + 1) % interval == 0 or step + 1 == steps


def achieved_sparsity(layers: Layers, levels: int) -> list[float]:
    """Return the share of pruned weights at each level, over all prunable layers."""
    maps, sizes = {}, {}
    for name, layer in layers.items():
        if layer.module.level_map is not None:
            maps[name] = layer.module.level_map
            sizes[name] = group_sizes(layer.weight.shape, layer.module.group_size)
    return [1.0 - density for density in densities_of(maps, sizes, levels)]
