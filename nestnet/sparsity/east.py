"""Encoding-aware pruning: the most salient weights that fit a flash budget under the real codecs.

A layer keeps or prunes *blocks*: b consecutive execution groups in stream order. Larger blocks code
in fewer bytes but lose more salient weights. How many bytes each choice takes is measured with the
codecs themselves; one Lagrange multiplier, the saliency a byte must be worth, then decides for all
layers together how large their blocks are and how many they keep.

Source: the aim and the adaptive groups are those of M. Grimaldi, V. Peluso, A. Calimera, "EAST:
Encoding-Aware Sparse Training for Deep Memory Compression of ConvNets", arXiv 1912.10087; the
choice by rate and distortion follows Y. Shoham, A. Gersho, "Efficient bit allocation for an
arbitrary set of quantizers", IEEE Trans. ASSP 36(9), 1988. See docs/east.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from codegen.ir import NEVER, Uint8Array
from nestnet.levels import LevelMap, assign_levels
from nestnet.network import PrunableLayer
from nestnet.sparsity.blocks import (
    BlockShape,
    FloatArray,
    Groups,
    IntArray,
    Ranking,
    from_stream_order,
    groups_of,
    level_map,
    rank,
    stream_order,
)
from nestnet.sparsity.scores import per_latency
from nestnet.sparsity.storage import Storage, whole_words

BLOCKS = (1, 2, 4, 8, 16)
"""Execution groups in a block."""
LAYER_WEIGHT = 0.25
"""Power of a layer's energy that its saliency is weighed with: 0 treats all layers alike, 1 goes by
energy alone. Large values empty wide layers, whose many weights are small."""
RELATIVE_TIME = {1: 3.0, 2: 1.5}
"""Time of a kept weight in groups of this size over that of a weight in a dense layer, between
Cortex-M4 and M7 (docs/results/speed.md, "Kernels"). Denser than its inverse a layer would run
slower than unpruned; groups of 4 (1.4) are admitted at any density."""
LADDER = (0.02, 0.08, 0.2, 0.4, 0.65, 1.0)
"""Densities at which a block size's bytes are measured; between them bytes are interpolated."""
MIN_DENSITY = 0.02
"""Share of a layer that is always kept."""
SEARCH_STEPS = 60
"""Halvings of the range of the multiplier."""
TINY = 1e-9
FIT_STEPS = 16
"""Most exact counts of a whole network to meet one budget."""


@dataclass(frozen=True)
class Rate:
    """Measured bytes of a layer with blocks of one shape."""

    block: BlockShape
    groups: tuple[int, ...]
    """Groups kept, rising."""
    stored_bytes: tuple[int, ...]

    def at(self, groups: IntArray) -> FloatArray:
        """Return the bytes of keeping ``groups``, interpolated."""
        values: FloatArray = np.interp(groups, self.groups, self.stored_bytes)
        return values


Rates = Mapping[str, tuple[Rate, ...]]


@dataclass(frozen=True, eq=False)
class Option:
    """One layer with blocks of one shape: what each further block is worth and costs."""

    block: BlockShape
    groups: Groups
    ranking: Ranking
    worth: FloatArray
    """Saliency per byte of the n-th block, not rising, (blocks,); infinite for those that are
    always kept. It may end before the layer's last block."""
    saliency: FloatArray
    """Of the first n blocks, (blocks,)."""
    stored_bytes: FloatArray
    """Of the first n blocks, as measured and interpolated, (blocks,)."""

    def kept(self, multiplier: float) -> int:
        """Return how many blocks are worth at least ``multiplier``."""
        return int(np.searchsorted(-self.worth, -multiplier, side="right"))


class East:
    """Chooses masks for a network's prunable layers; holds what was measured about them."""

    def __init__(
        self,
        layers: Mapping[str, PrunableLayer],
        storage: Storage,
        ratios: Sequence[float],
        group_sizes: Sequence[int],
        allocation: str,
    ) -> None:
        """Prepare for ``layers``.

        Args:
            layers: in execution order.
            storage: counts bytes.
            ratios: density of each level over that of the densest; the last is 1.
            group_sizes: the execution groups a layer may have.
            allocation: how an inner level's weights are shared out over the layers.
        """
        self.layers = layers
        self.storage = storage
        self.ratios = tuple(ratios)
        self.allocation = allocation
        self.group_sizes = tuple(group_sizes)
        self.rates: dict[str, tuple[Rate, ...]] = {}
        self.blocks: dict[str, BlockShape] = {}
        """Of each layer, as chosen last."""

    @property
    def shapes(self) -> tuple[BlockShape, ...]:
        """The shapes that a layer's blocks may have.

        Larger blocks consist of the largest groups: the same weights in fewer positions, which
        kernels walk faster.
        """
        largest = max(self.group_sizes)
        single = [BlockShape(size, 1) for size in sorted(self.group_sizes) if size != largest]
        return (*single, *(BlockShape(largest, groups) for groups in BLOCKS))

    def _densest(self, block: BlockShape) -> float:
        """Return the density above which another group would be faster, if there is one."""
        if block.group_size == max(self.group_sizes):
            return 1.0
        return 1.0 / RELATIVE_TIME[block.group_size]

    def measure(self) -> None:
        """Measure the bytes of every block shape at the densities of the ladder, exactly."""
        for name in self.layers:
            self.rates[name] = tuple(self._rate(name, block) for block in self.shapes)

    def _rate(self, name: str, block: BlockShape) -> Rate:
        groups = self._groups(name, block)
        ranking = rank(groups, block.groups)
        counts = sorted({_blocks_at(ranking, density, len(self.ratios)) for density in LADDER})
        points = []
        for count in counts:
            found = level_map(groups, ranking, self._levels_by_ratio(ranking, count))
            points.append(self.storage.layer(name, found).stored_bytes)
        kept = tuple(int(ranking.groups[count - 1]) for count in counts)
        return Rate(block, kept, tuple(np.maximum.accumulate(points).tolist()))

    def place(self, target_bytes: int, *, search: bool, tolerance: float) -> dict[str, LevelMap]:
        """Return level maps whose network takes at most ``target_bytes``, nearly all of them.

        Args:
            target_bytes: of all weights and tables.
            search: choose the blocks' shapes anew; else those chosen last stay.
            tolerance: share of the target that may be left over.

        Returns:
            A map per layer. With all layers at their least, more than the target is possible.
        """
        beside = self.storage.beside(self.layers)
        if search or not self.blocks:
            offered = {name: self._options(name, self.shapes) for name in self.layers}
            self.blocks = _choose_blocks(offered, target_bytes - beside)
        options = {name: self._options(name, (self.blocks[name],))[0] for name in self.layers}
        queue = _Queue(options)

        def fits(count: int) -> tuple[dict[str, LevelMap], int]:
            maps = self._level_maps(options, queue.kept(count))
            return maps, target_bytes - whole_words(beside + self.storage.of(maps))

        return queue.fill(fits, target_bytes - beside, int(tolerance * target_bytes))

    def least(self) -> dict[str, LevelMap]:
        """Return the maps of the fewest bytes: MIN_DENSITY of each layer, with its best blocks."""
        maps = {}
        for name in self.layers:
            candidates = []
            for block in self.shapes:
                groups = self._groups(name, block)
                ranking = rank(groups, block.groups)
                count = _blocks_at(ranking, MIN_DENSITY, len(self.ratios))
                found = level_map(groups, ranking, self._levels_by_ratio(ranking, count))
                stored = self.storage.layer(name, found).stored_bytes
                candidates.append((stored, block, found))
            maps[name] = min(candidates, key=lambda each: each[:2])[2]
        return maps

    def _groups(self, name: str, block: BlockShape) -> Groups:
        """Return the execution groups of a layer that its blocks consist of."""
        return groups_of(self.layers[name].weight, block.group_size)

    def _levels_by_ratio(self, ranking: Ranking, count: int) -> Uint8Array:
        """Return the levels of a layer's first ``count`` blocks, each level's share its ratio."""
        ends = [_blocks_at(ranking, ratio * ranking.density(count), 1) for ratio in self.ratios]
        return np.searchsorted(ends, np.arange(count), side="right").astype(np.uint8)

    def _options(self, name: str, blocks: Sequence[BlockShape]) -> list[Option]:
        """Return what each shape of blocks offers for layer ``name``."""
        rates = {rate.block: rate for rate in self.rates[name]}
        return [
            _option(self._groups(name, b), rates[b], self.ratios, self._densest(b)) for b in blocks
        ]

    def _level_maps(
        self, options: Mapping[str, Option], kept: Mapping[str, int]
    ) -> dict[str, LevelMap]:
        """Return the maps in which each layer keeps its first blocks, levels by the ratios."""
        scores, sizes, rows = {}, {}, {}
        for name, option in options.items():
            ranking, count = option.ranking, int(kept[name])
            score = torch.from_numpy(np.sqrt(ranking.score[:count].copy()))
            if self.allocation == "latency":
                score = per_latency(score, self.layers[name].positions)
            scores[name] = score
            sizes[name] = torch.from_numpy(np.diff(ranking.weights[:count], prepend=0))
            rows[name] = torch.from_numpy(ranking.channel[:count].copy())
        levels = assign_levels(scores, sizes, self.ratios, self.allocation, rows)
        return {
            name: level_map(option.groups, option.ranking, levels[name].numpy())
            for name, option in options.items()
        }


def _blocks_at(ranking: Ranking, density: float, at_least: int) -> int:
    """Return how many blocks hold ``density`` of a layer's groups, ``at_least`` so many."""
    wanted = density * float(ranking.groups[-1])
    count = int(np.searchsorted(ranking.groups, wanted - 1e-6)) + 1
    return min(max(count, at_least), len(ranking.groups))


def _option(groups: Groups, rate: Rate, ratios: Sequence[float], densest: float) -> Option:
    """Return what blocks of a layer are worth and cost.

    The saliency of a choice is the mean, over the levels, of the logarithm of the share of the
    layer's energy (its sum of squared weights) that the level keeps, times a power of the energy.
    At most ``densest`` of the layer's groups can be kept.
    """
    ranking = rank(groups, rate.block.groups)
    stored = rate.at(ranking.groups)
    saliency = np.zeros(len(stored))
    for ratio in ratios:
        kept = np.interp(ratio * ranking.groups, ranking.groups, ranking.energy)
        saliency += np.log(np.maximum(kept / max(ranking.energy[-1], TINY), TINY)) / len(ratios)
    saliency *= max(ranking.energy[-1], TINY) ** LAYER_WEIGHT
    gain = np.diff(saliency, prepend=-np.inf)
    worth = np.minimum.accumulate(gain / np.maximum(np.diff(stored, prepend=0.0), TINY))
    worth[: _blocks_at(ranking, MIN_DENSITY, len(ratios))] = np.inf
    end = _blocks_at(ranking, densest, len(ratios))
    return Option(rate.block, groups, ranking, worth[:end], saliency[:end], stored[:end])


def _choose_blocks(offered: Mapping[str, Sequence[Option]], budget: float) -> dict[str, BlockShape]:
    """Return the blocks of each layer with which ``budget`` bytes hold the most saliency."""

    def at(multiplier: float) -> tuple[float, dict[str, BlockShape]]:
        total, blocks = 0.0, {}
        for name, options in offered.items():
            found = []
            for option in options:
                last = option.kept(multiplier) - 1
                stored, saliency = option.stored_bytes[last], option.saliency[last]
                found.append((multiplier * stored - saliency, option.block, stored))
            _, blocks[name], stored = min(found)
            total += stored
        return total, blocks

    low, high = TINY, 1 / TINY
    for _ in range(SEARCH_STEPS):
        middle = (low * high) ** 0.5
        if at(middle)[0] <= budget:
            high = middle
        else:
            low = middle
    return at(high)[1]


def without_least(
    layers: Mapping[str, PrunableLayer], maps: Mapping[str, LevelMap], count: int
) -> dict[str, LevelMap]:
    """Return ``maps`` without the ``count`` groups that carry the least of their layer's energy.

    Only groups that no level but the densest has are dropped, and no layer's last one.
    """
    worth, place = [], []
    found = {name: stream_order(each.levels).astype(np.uint8) for name, each in maps.items()}
    for name, levels in found.items():
        energy = groups_of(layers[name].weight, maps[name].group_size).energy
        densest = levels[levels != NEVER].max(initial=0)
        candidates = np.flatnonzero(levels.reshape(-1) == densest)
        share = energy.reshape(-1)[candidates] / max(energy[levels != NEVER].sum(), TINY)
        order = np.argsort(share, kind="stable")[: max(len(candidates) - 1, 0)]
        worth.append(share[order])
        place += [(name, int(candidates[index])) for index in order]
    for index in np.argsort(np.concatenate(worth), kind="stable")[:count]:
        name, group = place[int(index)]
        found[name].reshape(-1)[group] = NEVER
    return {
        name: LevelMap(from_stream_order(levels, maps[name].levels.shape), maps[name].group_size)
        for name, levels in found.items()
    }


class _Queue:
    """The blocks of all layers in order of their worth: any first part of it is a choice."""

    def __init__(self, options: Mapping[str, Option]) -> None:
        worth = np.concatenate([option.worth for option in options.values()])
        order = np.argsort(-worth, kind="stable")
        sizes = [len(option.worth) for option in options.values()]
        costs = [np.diff(option.stored_bytes, prepend=0.0) for option in options.values()]
        self.names = list(options)
        self.layer = np.repeat(np.arange(len(sizes)), sizes)[order]
        self.predicted_bytes = np.cumsum(np.concatenate(costs)[order])
        self.least = int(np.isinf(worth).sum())

    def kept(self, count: int) -> dict[str, int]:
        """Return how many blocks of each layer are among the first ``count``."""
        found = np.bincount(self.layer[:count], minlength=len(self.names))
        return dict(zip(self.names, found.tolist(), strict=True))

    def fill(
        self, fits: Callable[[int], tuple[dict[str, LevelMap], int]], budget: float, spare: int
    ) -> dict[str, LevelMap]:
        """Return the maps of as many first blocks as fit.

        Args:
            fits: returns the maps of so many blocks and the bytes they leave over.
            budget: bytes for the blocks, as they are predicted.
            spare: bytes that may be left over.
        """
        low, high, shift = self.least, len(self.layer), 0.0
        best, left = fits(high)
        if left >= 0:
            return best
        best, left = fits(low)
        for step in range(FIT_STEPS):
            if 0 <= left <= spare or high - low < 2:
                break
            guess = int(np.searchsorted(self.predicted_bytes, budget + shift, side="right"))
            halfway = step % 4 == 3 or not low < guess < high
            count = (low + high) // 2 if halfway else guess
            maps, left = fits(count)
            shift = float(self.predicted_bytes[count - 1]) - (budget - left)
            if left >= 0:
                low, best = count, maps
            else:
                high = count
        return best
