"""What no code of this kind can beat: the entropy of a layer's weights and of their positions.

The weights' bound is the zero-order entropy of the kept values; the positions' is the logarithm of
the number of ways to place a level's groups in the layer. Neither counts what describes them.
"""

from __future__ import annotations

from math import ceil, lgamma, log

import numpy as np

from codegen.graph.ir import NEVER, Int8Array, Uint8Array


def layer_bytes(
    weight: Int8Array, group_size: int, group_level: Uint8Array | None, levels: int
) -> int:
    """Return the bound on the bytes of a layer's weights and positions, rounded up.

    Args:
        weight: last axis input channels.
        group_size: G.
        group_level: as in :mod:`codegen.graph.ir`, the same axes as ``weight``; None for a
            layer that is dense at every level, whose positions take nothing. Channels of a
            depthwise layer are groups of their own.
        levels: number of levels; each one's groups are placed without regard to the others'.
    """
    if group_level is None:
        return ceil(weight_bits(weight) / 8)
    kept = np.repeat(group_level != NEVER, group_size, axis=-1)[..., : weight.shape[-1]]
    bits = weight_bits(weight[np.broadcast_to(kept, weight.shape)])
    for level in range(levels):
        bits += position_bits(group_level.size, int(np.count_nonzero(group_level == level)))
    return ceil(bits / 8)


def weight_bits(values: Int8Array) -> float:
    """Return the zero-order entropy of int8 values, times their number."""
    counts = np.unique(values, return_counts=True)[1]
    return float((counts * np.log2(values.size / counts)).sum())


def position_bits(places: int, groups: int) -> float:
    """Return log2 of the number of ways to choose ``groups`` of ``places``."""
    ways = lgamma(places + 1) - lgamma(groups + 1) - lgamma(places - groups + 1)
    return max(ways, 0.0) / log(2)
