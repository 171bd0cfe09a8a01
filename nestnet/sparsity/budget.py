"""Prune a network down to a flash budget, by EAST or by magnitude, and hold it there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from codegen.errors import UserError
from nestnet.config import TrainConfig
from nestnet.net.network import NestedNet, PrunableLayer
from nestnet.sparsity.blocks import BlockShape
from nestnet.sparsity.choice import MIN_DENSITY, Rate
from nestnet.sparsity.east import East, without_least
from nestnet.sparsity.levels import LevelMap
from nestnet.sparsity.prune import install, magnitude_maps
from nestnet.sparsity.schedule import cubic_sparsity
from nestnet.sparsity.storage import Storage

SEARCHES_PER_RAMP = 4
"""Times the blocks' shapes are chosen anew; between them the masks only follow the weights."""
RAMP_TOLERANCE = 0.01
"""Share of a moment's budget that may be left over while the ramp runs."""
FINAL_TOLERANCE = 0.0005
"""The same at its end."""
HEADROOM = 0.002
"""Share of the budget kept free at the ramp's end: weights change until they are quantized, and
with them what LZ4 makes of them."""
BISECTIONS = 18
"""Halvings of the density that magnitude pruning needs."""


class FlashBudget:
    """Masks of a network that is to fit ``config.flash_bytes`` at the end of the ramp."""

    def __init__(
        self,
        config: TrainConfig,
        network: NestedNet,
        layers: Mapping[str, PrunableLayer],
        *,
        resumed: bool = False,
    ) -> None:
        """Prepare for the prunable ``layers`` of ``network``.

        A ``resumed`` run was checked when it began, with the weights it had then.

        Raises:
            UserError: no pruning can reach the budget.
        """
        self.config = config
        self.network = network
        self.layers = dict(layers)
        self.storage = Storage(network, config.codecs)
        least = 1.0 - config.sparsity[-1]
        self._targets = tuple((1.0 - share) / least for share in config.sparsity)
        groups, allocation = config.group_sizes, config.allocation
        self.east = East(self.layers, self.storage, self._targets, groups, allocation)
        self.searches = 0
        self.full_bytes = self._full_bytes()
        if not resumed:
            self._check()

    @property
    def target_bytes(self) -> int:
        """The budget: all weights and tables."""
        return self.config.flash_bytes

    @property
    def met(self) -> bool:
        """Whether the network fits without pruning its densest level."""
        return self.full_bytes <= self.target_bytes

    @property
    def trains_dense(self) -> bool:
        """Whether there is nothing to prune: one level, which fits as it is."""
        return self.met and self.config.levels == 1

    @property
    def stored_bytes(self) -> int:
        """Exact bytes of the network as it is."""
        return self.storage.total(self._maps())

    @torch.no_grad()
    def prune(self, progress: float) -> None:
        """Move the masks to where the ramp wants the stored bytes at ``progress`` (0..1).

        The budget falls from the size of the whole network to the target, and the inner levels'
        shares of the densest one from 1 to theirs, as :func:`cubic_sparsity` rises. Asserts that
        the levels are nested.
        """
        excess = max(self.full_bytes - self.target_bytes, 0)
        now = self.full_bytes - round(cubic_sparsity(excess, progress)) if excess else 2**62
        if self.met:  # keep all, in the groups that take the fewest bytes and run fastest
            self.east.group_sizes = (self.config.group_size,)
        self.east.ratios = tuple(1.0 - cubic_sparsity(1.0 - r, progress) for r in self._targets)
        final = progress >= 1.0
        if final and excess:
            now -= round(HEADROOM * now)
        tolerance = FINAL_TOLERANCE if final else RAMP_TOLERANCE
        if self.config.method == "magnitude":
            maps = self._by_magnitude(now, tolerance)
        else:
            due = self.searches <= progress * SEARCHES_PER_RAMP and not (final and self.searches)
            if due:
                self.east.measure()
                self.searches += 1
            maps = self.east.place(now, search=due, tolerance=tolerance)
            if final and self.storage.total(maps) > self.target_bytes:
                maps = self._squeezed(now, tolerance)
        self._install(maps)

    def _squeezed(self, target_bytes: int, tolerance: float) -> dict[str, LevelMap]:
        """Return maps for a budget that the shapes chosen last cannot meet."""
        self.east.measure()
        maps = self.east.place(target_bytes, search=True, tolerance=tolerance)
        fits = self.storage.total(maps) <= self.target_bytes
        return maps if fits else self.east.least()

    @torch.no_grad()
    def trim(self) -> None:
        """Drop the least salient groups that only the densest level has until the budget is met.

        Quantization may store dense rows with fewer equal bytes than the ramp's end counted.

        Raises:
            UserError: the budget is so near the least that nothing is left to drop.
        """
        dropped, kept = 1, self._maps()
        groups = sum(int(found.levels.numel()) for found in kept.values())
        maps = kept
        while maps and self.storage.total(maps) > self.target_bytes:
            if dropped > 2 * groups:
                raise UserError(
                    "--flash",
                    "the trained network takes more than the budget",
                    got=f"{self.storage.total(kept)} bytes for weights and tables",
                    expected=f"at most {self.target_bytes}, near the least that pruning reaches",
                    action="Give more flash; the run keeps its last checkpoint",
                )
            maps = without_least(self.layers, kept, dropped)
            dropped *= 2
        self._install(maps)

    def plan(self) -> str:
        """Return what is printed before training."""
        budget, full = f"{self.target_bytes:,} bytes", f"{self.full_bytes:,}"
        if self.trains_dense:
            return f"flash: {budget}; the dense network takes {full}, so nothing is pruned"
        if self.met:
            return f"flash: {budget}; all levels take {full}, so the densest is not pruned"
        return f"flash: {budget} for weights and tables, {full} unpruned; {self.config.method}"

    def _by_magnitude(self, target_bytes: int, tolerance: float) -> dict[str, LevelMap]:
        """Return the maps of the largest density that fits, groups ranked by magnitude."""
        low, high = MIN_DENSITY, 1.0
        best = self._at_density(high)
        if self.storage.total(best) <= target_bytes:
            return best
        best = self._at_density(low)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            maps = self._at_density(middle)
            left = target_bytes - self.storage.total(maps)
            if left < 0:
                high = middle
                continue
            low, best = middle, maps
            if left <= tolerance * target_bytes:
                break
        return best

    def _at_density(self, density: float) -> dict[str, LevelMap]:
        densities = [density * ratio for ratio in self.east.ratios]
        size, allocation = self.config.group_size, self.config.allocation
        return magnitude_maps(self.layers, densities, size, allocation)

    def _maps(self) -> dict[str, LevelMap]:
        """Return the network's level maps as they are."""
        return {
            name: LevelMap(layer.module.level_map, layer.module.group_size)
            for name, layer in self.layers.items()
            if layer.module.level_map is not None
        }

    def _install(self, maps: Mapping[str, LevelMap]) -> None:
        install(self.layers, maps, self.config.levels)

    def _full_bytes(self) -> int:
        """Return the bytes of the network with nothing pruned: dense, or all levels nested."""
        if self.config.levels == 1:
            return self.storage.total({})
        return self.storage.total(self._at_density(1.0))

    def _check(self) -> None:
        """Refuse a budget that pruning cannot reach, and say what holds the rest."""
        if self.met:
            return
        if self.config.method == "magnitude":
            maps = self._at_density(MIN_DENSITY)
        else:
            maps = self.east.least()
        smallest = self.storage.total(maps)
        if smallest <= self.target_bytes:
            return
        found = self.storage.layers(maps)
        dense = [f"{n} {b.stored_bytes}" for n, b in found.items() if n not in self.layers]
        pruned = sum(found[name].stored_bytes for name in self.layers)
        parts = [
            f"tables {self.storage.table_bytes}",
            f"layers kept dense: {', '.join(dense) or 'none'}",
            f"{len(self.layers)} pruned layers {pruned} at {MIN_DENSITY:.0%} of their weights",
        ]
        raise UserError(
            "--flash",
            "no pruning makes this network so small",
            got=f"{self.target_bytes} bytes for weights and tables",
            expected=f"at least {smallest}: {'; '.join(parts)}",
            action="Give more flash, choose a narrower model, or train fewer levels",
        )

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs to go on in the same way, ready for JSON."""
        rates = {
            name: [[rate.block, list(rate.groups), list(rate.stored_bytes)] for rate in found]
            for name, found in self.east.rates.items()
        }
        return {
            "blocks": dict(self.east.blocks),
            "full_bytes": self.full_bytes,
            "rates": rates,
            "searches": self.searches,
            "time_price": self.east.time_price,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state` returned."""
        self.full_bytes = int(state["full_bytes"])
        self.searches = int(state["searches"])
        self.east.time_price = float(state["time_price"])
        self.east.blocks = {name: BlockShape(*block) for name, block in state["blocks"].items()}
        self.east.rates = {
            name: tuple(
                Rate(BlockShape(*b), tuple(kept), tuple(stored)) for b, kept, stored in found
            )
            for name, found in state["rates"].items()
        }
