"""Draw random weights and the levels that keep them, for layers whose tables are calibrated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import NEVER, Graph, Int8Array, Requant, Uint8Array
from codegen.graph.ops.conv2d import Conv2D, accumulate
from codegen.graph.ops.linear import Linear
from codegen.graph.requantize import make_requant
from codegen.graph.weighted import level_weight


def random_weights(rng: np.random.Generator, shape: tuple[int, ...]) -> Int8Array:
    """Return weights of ``shape`` that spread over the int8 range."""
    return rng.normal(0, 45, shape).clip(-127, 127).astype(np.int8)


def pruned(
    rng: np.random.Generator,
    weight: Int8Array,
    group: int,
    densities: Sequence[float] | None,
    whole: bool = False,
) -> tuple[Int8Array, int, Uint8Array | None]:
    """Return ``weight`` (out_c, ..., in_c) with groups pruned, their size, and the map of levels.

    Args:
        rng: source of the random numbers.
        weight: of all levels together.
        group: weights along the last axis that are pruned together.
        densities: the share that each level keeps; None: all keep all.
        whole: prune each output channel's whole filter instead.
    """
    if densities is None:
        return weight, 1, None
    shape: tuple[int, ...] = (*weight.shape[:-1], -(-weight.shape[-1] // group))
    if whole:
        shape = (len(weight), 1, 1, 1)
    level = _random_levels(rng, shape, densities)
    keep = np.repeat(level != NEVER, group, axis=-1)[..., : weight.shape[-1]]
    return np.where(keep, weight, np.int8(0)), group, level


def _random_levels(
    rng: np.random.Generator, shape: tuple[int, ...], densities: Sequence[float]
) -> Uint8Array:
    """Return a random map of ``shape`` in which level k keeps the share ``densities[k]``."""
    count = int(np.prod(shape))
    order = rng.permutation(count)
    level = np.full(count, NEVER, np.uint8)
    for index in reversed(range(len(densities))):
        level[order[: round(densities[index] * count)]] = index
    return level.reshape(shape)


def accumulators(
    op: Conv2D | Linear, graph: Graph, images: Int8Array, level: int
) -> NDArray[np.float64]:
    """Return accumulators (n, ..., out_c) of a weighted op."""
    if isinstance(op, Conv2D):
        return accumulate(op, graph, images, level).astype(np.float64)
    flat = images.reshape(len(images), -1).astype(np.float64)
    acc: NDArray[np.float64] = (flat - graph.value(op.input).zero_point) @ level_weight(
        op, level
    ).T.astype(np.float64)
    return acc


def placeholder(levels: int, out_c: int) -> Requant:
    """Return tables of the right shape, replaced once the layer is calibrated."""
    return make_requant(np.full((levels, out_c), 1e-3), np.zeros((levels, out_c)), [1])
