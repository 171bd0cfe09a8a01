"""Encoding-aware pruning: the most salient weights that fit a flash budget under the real codecs.

A layer keeps or prunes *blocks*: consecutive execution groups in stream order. Larger groups and
blocks code in fewer bytes and run faster, but lose more salient weights. How many bytes each choice
takes is measured with the codecs themselves; :mod:`nestnet.sparsity.choice` then spends the budget.

Source: the aim and the adaptive groups are those of M. Grimaldi, V. Peluso, A. Calimera, "EAST:
Encoding-Aware Sparse Training for Deep Memory Compression of ConvNets", arXiv 1912.10087. See
docs/east.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from codegen.graph.ir import NEVER, Uint8Array
from nestnet.net.network import PrunableLayer
from nestnet.sparsity.blocks import (
    BlockShape,
    Groups,
    Ranking,
    from_stream_order,
    groups_of,
    level_map,
    rank,
    stream_order,
)
from nestnet.sparsity.choice import (
    MIN_DENSITY,
    TINY,
    Option,
    Rate,
    blocks_at,
    choose_blocks,
    option_of,
)
from nestnet.sparsity.levels import LevelMap, assign_levels
from nestnet.sparsity.scores import per_latency
from nestnet.sparsity.storage import Storage, whole_words

BLOCKS = (1, 2, 4, 8, 16)
"""Execution groups in a block."""
WHOLE = 0
"""Stands for the groups of a block that is a whole layer: it is not pruned, and runs dense."""
RELATIVE_TIME = {1: 3.0, 2: 1.5, 4: 1.4}
"""Time of a kept weight in groups of this size over that of a weight in a dense layer, for 3x3
convolutions, between Cortex-M4 and M7 (experiments/speed/page.md, "Kernels")."""
LADDER = (0.02, 0.08, 0.2, 0.4, 0.65, 1.0)
"""Densities at which a block size's bytes are measured; between them bytes are interpolated."""
FIT_STEPS = 16
"""Most exact counts of a whole network to meet one budget."""


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
        self.time_price = 0.0
        """Saliency that a dense multiply-accumulate has to bring, as chosen with them."""

    @property
    def shapes(self) -> tuple[BlockShape, ...]:
        """The shapes that a layer's blocks may have.

        Larger blocks consist of the largest groups: the same weights in fewer positions, which
        kernels walk faster.
        """
        largest = max(self.group_sizes)
        single = [BlockShape(size, 1) for size in sorted(self.group_sizes) if size != largest]
        blocks = [BlockShape(largest, groups) for groups in BLOCKS]
        whole = [BlockShape(largest, WHOLE)] if single and len(self.ratios) == 1 else []
        return (*single, *blocks, *whole)

    def measure(self) -> None:
        """Measure the bytes of every block shape at the densities of the ladder, exactly."""
        for name in self.layers:
            self.rates[name] = tuple(self._rate(name, block) for block in self.shapes)

    def _rate(self, name: str, block: BlockShape) -> Rate:
        groups, ranking = self._ranked(name, block)
        counts = sorted({blocks_at(ranking, density, len(self.ratios)) for density in LADDER})
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
            limit = sum(self._dense_time(name) for name in self.layers)
            if len(self.group_sizes) == 1:
                limit = np.inf
            chosen = choose_blocks(offered, target_bytes - beside, limit)
            self.blocks, self.time_price = chosen
        options = {name: self._options(name, (self.blocks[name],))[0] for name in self.layers}
        queue = _Queue(options, self.time_price)

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
                groups, ranking = self._ranked(name, block)
                count = blocks_at(ranking, MIN_DENSITY, len(self.ratios))
                found = level_map(groups, ranking, self._levels_by_ratio(ranking, count))
                stored = self.storage.layer(name, found).stored_bytes
                candidates.append((stored, block, found))
            maps[name] = min(candidates, key=lambda each: each[:2])[2]
        return maps

    def _ranked(self, name: str, block: BlockShape) -> tuple[Groups, Ranking]:
        """Return a layer's execution groups, and its blocks of them in order."""
        groups = groups_of(self.layers[name].weight, block.group_size)
        if block.groups == WHOLE:
            groups = groups.as_one_row()
        return groups, rank(groups, block.groups or groups.weights.size)

    def _dense_time(self, name: str) -> float:
        """Return the multiply-accumulates of a layer, unpruned."""
        layer = self.layers[name]
        return float(layer.weight.numel() * layer.positions)

    def _levels_by_ratio(self, ranking: Ranking, count: int) -> Uint8Array:
        """Return the levels of a layer's first ``count`` blocks, each level's share its ratio."""
        ends = [blocks_at(ranking, ratio * ranking.density(count), 1) for ratio in self.ratios]
        return np.searchsorted(ends, np.arange(count), side="right").astype(np.uint8)

    def _options(self, name: str, blocks: Sequence[BlockShape]) -> list[Option]:
        """Return what each shape of blocks offers for layer ``name``."""
        rates = {rate.block: rate for rate in self.rates[name]}
        dense = self._dense_time(name)
        found = []
        for block in blocks:
            groups, ranking = self._ranked(name, block)
            time = dense if block.groups == WHOLE else dense * RELATIVE_TIME[block.group_size]
            found.append(option_of(groups, ranking, rates[block], self.ratios, time))
        return found

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


def without_least(
    layers: Mapping[str, PrunableLayer], maps: Mapping[str, LevelMap], count: int
) -> dict[str, LevelMap]:
    """Return ``maps`` without the ``count`` groups that carry the least of their layer's energy.

    Only groups that no level but the densest has are dropped, and no layer's last one. Layers that
    are not pruned stay so if others are: they are stored dense.
    """
    worth, place = [], []
    found = {name: stream_order(each.levels).astype(np.uint8) for name, each in maps.items()}
    pruned = [name for name, levels in found.items() if bool((levels == NEVER).any())]
    for name in pruned or found:
        levels = found[name]
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

    def __init__(self, options: Mapping[str, Option], time_price: float) -> None:
        worth = np.concatenate([option.worth(time_price) for option in options.values()])
        order = np.argsort(-worth, kind="stable")
        sizes = [len(option.saliency) for option in options.values()]
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
