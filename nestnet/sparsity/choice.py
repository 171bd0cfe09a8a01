"""Spend a flash budget on blocks of weights: rate, distortion and time of all layers together.

One price for a byte, and one for time where the network would else get slower than a limit, decide
for every layer which shape its blocks have and how many it keeps.

Source: Y. Shoham, A. Gersho, "Efficient bit allocation for an arbitrary set of quantizers", IEEE
Trans. ASSP 36(9), 1988. See docs/east.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nestnet.sparsity.blocks import BlockShape, FloatArray, Groups, IntArray, Ranking

LAYER_WEIGHT = 0.25
"""Power of a layer's energy that its saliency is weighed with: 0 treats all layers alike, 1 goes by
energy alone. Large values empty wide layers, whose many weights are small."""
MIN_DENSITY = 0.02
"""Share of a layer that is always kept."""
SEARCH_STEPS = 60
"""Halvings of the range of the price of a byte."""
TIME_SEARCH_STEPS = 20
"""The same for the price of time."""
SPENT = 0.9
"""Share of the bytes chosen without a price of time that counts as spending the budget: shapes
change by leaps, and what they leave is filled with more blocks afterwards."""
TINY = 1e-9


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


@dataclass(frozen=True, eq=False)
class Option:
    """One layer with blocks of one shape: what each further block is worth and costs."""

    block: BlockShape
    groups: Groups
    ranking: Ranking
    least: int
    """Blocks that are always kept."""
    saliency: FloatArray
    """Of the first n blocks, (blocks,)."""
    stored_bytes: FloatArray
    """Of the first n blocks, as measured and interpolated, (blocks,)."""
    time: FloatArray
    """Of the first n blocks, in multiply-accumulates of a dense layer, (blocks,)."""

    def worth(self, time_price: float) -> FloatArray:
        """Return the saliency per byte of the n-th block, less what its time costs.

        It does not rise; infinite for the blocks that are always kept.
        """
        gain = np.diff(self.saliency - time_price * self.time, prepend=-np.inf)
        each = gain / np.maximum(np.diff(self.stored_bytes, prepend=0.0), TINY)
        worth: FloatArray = np.minimum.accumulate(each)
        worth[: self.least] = np.inf
        return worth


def blocks_at(ranking: Ranking, density: float, at_least: int) -> int:
    """Return how many blocks hold ``density`` of a layer's groups, ``at_least`` so many."""
    wanted = density * float(ranking.groups[-1])
    count = int(np.searchsorted(ranking.groups, wanted - 1e-6)) + 1
    return min(max(count, at_least), len(ranking.groups))


def option_of(
    groups: Groups, ranking: Ranking, rate: Rate, ratios: Sequence[float], time: float
) -> Option:
    """Return what blocks of a layer are worth and cost; all of them take ``time``.

    The saliency of a choice is the mean, over the levels, of the logarithm of the share of the
    layer's energy (its sum of squared weights) that the level keeps, times a power of the energy.
    """
    stored = rate.at(ranking.groups)
    saliency = np.zeros(len(stored))
    for ratio in ratios:
        kept = np.interp(ratio * ranking.groups, ranking.groups, ranking.energy)
        saliency += np.log(np.maximum(kept / max(ranking.energy[-1], TINY), TINY)) / len(ratios)
    saliency *= max(ranking.energy[-1], TINY) ** LAYER_WEIGHT
    least = blocks_at(ranking, MIN_DENSITY, len(ratios))
    share = ranking.weights / ranking.weights[-1]
    return Option(rate.block, groups, ranking, least, saliency, stored, time * share)


@dataclass(frozen=True)
class _Choice:
    """Blocks for every layer, and what they would take."""

    blocks: dict[str, BlockShape]
    stored_bytes: float
    time: float


def choose_blocks(
    offered: Mapping[str, Sequence[Option]], budget: float, time_limit: float
) -> tuple[dict[str, BlockShape], float]:
    """Return the blocks of each layer with which ``budget`` bytes hold the most saliency.

    Where they would take longer than ``time_limit``, time gets the least price that prevents it,
    or the largest with which the budget is still spent. The price is returned beside the blocks.
    """
    price, found = 0.0, _at_time_price(offered, budget, 0.0)
    enough = SPENT * found.stored_bytes
    low, high = TINY**2, 1.0
    for _ in range(TIME_SEARCH_STEPS if found.time > time_limit else 0):
        middle = (low * high) ** 0.5
        candidate = _at_time_price(offered, budget, middle)
        is_spent = candidate.stored_bytes >= enough
        is_quick = candidate.time <= time_limit
        if is_spent and (is_quick or found.time > time_limit):
            price, found = middle, candidate
        if is_spent and not is_quick:
            low = middle
        else:
            high = middle
    return found.blocks, price


def _at_time_price(
    offered: Mapping[str, Sequence[Option]], budget: float, time_price: float
) -> _Choice:
    """Return the blocks that ``budget`` bytes are best spent on when time has this price."""
    falling = {
        name: [(option, -option.worth(time_price)) for option in options]
        for name, options in offered.items()
    }

    def at(byte_price: float) -> _Choice:
        blocks, stored, time = {}, 0.0, 0.0
        for name, options in falling.items():
            found = []
            for option, worth in options:
                last = int(np.searchsorted(worth, -byte_price, side="right")) - 1
                taken = float(option.stored_bytes[last]), float(option.time[last])
                cost = byte_price * taken[0] + time_price * taken[1] - option.saliency[last]
                found.append((cost, option.block, taken))
            _, blocks[name], taken = min(found)
            stored, time = stored + taken[0], time + taken[1]
        return _Choice(blocks, stored, time)

    low, high = TINY, 1 / TINY
    for _ in range(SEARCH_STEPS):
        middle = (low * high) ** 0.5
        if at(middle).stored_bytes <= budget:
            high = middle
        else:
            low = middle
    return at(high)
