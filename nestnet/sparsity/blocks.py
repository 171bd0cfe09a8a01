"""Blocks of consecutive execution groups along the order in which their streams lie in flash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codegen.graph.ir import NEVER
from nestnet.sparsity.levels import LevelMap
from nestnet.sparsity.scores import group_magnitude, group_sizes

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Number = TypeVar("Number", np.float64, np.int64)


def stream_order(groups: Tensor) -> NDArray[np.generic]:
    """Return a tensor (O, n, kh, kw) or (O, n) of groups as rows (O, kw * kh * n).

    Source: docs/format.md, "Position of a group".
    """
    array: NDArray[np.generic] = groups.detach().cpu().numpy()
    if array.ndim == 4:
        array = array.transpose(0, 3, 2, 1)
    return np.ascontiguousarray(array.reshape(array.shape[0], -1))


def from_stream_order(rows: NDArray[np.uint8], shape: torch.Size) -> Tensor:
    """Return what :func:`stream_order` made of a tensor of ``shape``."""
    if len(shape) == 4:
        out_c, groups, kernel_h, kernel_w = shape
        array = rows.reshape(out_c, kernel_w, kernel_h, groups).transpose(0, 3, 2, 1)
    else:
        array = rows.reshape(shape)
    return torch.from_numpy(np.ascontiguousarray(array))


class BlockShape(NamedTuple):
    """What a layer keeps or drops together: consecutive execution groups of one output channel."""

    group_size: int
    """G, weights in an execution group: 1, 2 or 4."""
    groups: int
    """Execution groups in a block."""


@dataclass(frozen=True, eq=False)
class Groups:
    """The execution groups of one layer in stream order."""

    size: int
    """G, weights in a full group."""
    shape: torch.Size
    """Of the level map."""
    energy: FloatArray
    """Sum of squared weights of each group, (O, count)."""
    weights: IntArray
    """Weights in each group, (O, count)."""

    def as_one_row(self) -> Groups:
        """Return the same groups as if they were those of one output channel."""
        return Groups(
            self.size, self.shape, self.energy.reshape(1, -1), self.weights.reshape(1, -1)
        )


def groups_of(weight: Tensor, group_size: int) -> Groups:
    """Return the groups of ``weight``, (O, I, kh, kw) or (O, I)."""
    sizes = group_sizes(weight.shape, group_size)
    mean = group_magnitude(weight, group_size).cpu().double().square()
    return Groups(
        group_size,
        sizes.shape,
        stream_order(mean * sizes).astype(np.float64),
        stream_order(sizes).astype(np.int64),
    )


@dataclass(frozen=True, eq=False)
class Ranking:
    """The blocks of one size of a layer, the most salient per group first.

    A block is some consecutive groups of one output channel, the channel's last one maybe fewer.
    """

    block_groups: int
    """Groups in a full block."""
    order: IntArray
    """Index (output channel * blocks a channel + block) of each block, (blocks,)."""
    channel: IntArray
    """Output channel of each block in this order, (blocks,)."""
    score: FloatArray
    """Mean square of each block's weights in this order."""
    groups: IntArray
    """Groups in the first n blocks, (blocks,)."""
    weights: IntArray
    """Weights in the first n blocks."""
    energy: FloatArray
    """Sum of squares of the first n blocks."""

    def density(self, count: int) -> float:
        """Return the share of the layer's groups in the first ``count`` blocks."""
        return float(self.groups[count - 1] / self.groups[-1])


def rank(groups: Groups, block: int) -> Ranking:
    """Rank the blocks of ``block`` groups by the mean square of their weights."""
    energy = _block_sums(groups.energy, block)
    weights = _block_sums(groups.weights, block)
    counts = _block_sums(np.ones_like(groups.weights), block)
    score: FloatArray = energy / weights
    order = np.argsort(-score, kind="stable")
    return Ranking(
        block,
        order,
        order // -(-groups.weights.shape[1] // block),
        score[order],
        np.cumsum(counts[order]),
        np.cumsum(weights[order]),
        np.cumsum(energy[order]),
    )


def level_map(groups: Groups, ranking: Ranking, levels: NDArray[np.uint8]) -> LevelMap:
    """Return the map in which the n-th block of ``ranking`` has level ``levels[n]``.

    Args:
        groups: the layer.
        ranking: its blocks.
        levels: of the first blocks of the ranking; all others have none.
    """
    rows, count = groups.weights.shape
    per_row = -(-count // ranking.block_groups)
    flat = np.full(rows * per_row, NEVER, np.uint8)
    flat[ranking.order[: len(levels)]] = levels
    full = np.repeat(flat.reshape(rows, per_row), ranking.block_groups, axis=1)[:, :count]
    return LevelMap(from_stream_order(full, groups.shape), groups.size)


def _block_sums(rows: NDArray[Number], block: int) -> NDArray[Number]:
    """Return the sums over each row's blocks as one flat array."""
    starts = np.arange(0, rows.shape[1], block)
    sums: NDArray[Number] = np.add.reduceat(rows, starts, axis=1).reshape(-1)
    return sums
