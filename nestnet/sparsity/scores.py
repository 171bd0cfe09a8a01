"""Importance of groups of weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def group_sizes(shape: torch.Size, group_size: int) -> Tensor:
    """Return how many weights each group of a layer holds; the last along the input may hold less.

    Args:
        shape: weight shape, (out, in, kh, kw) or (out, in).
        group_size: G, consecutive input channels of a full group.

    Returns:
        int64 tensor (out, ceil(in / G), kh, kw) or (out, ceil(in / G)).
    """
    inputs = shape[1]
    groups = -(-inputs // group_size)
    sizes = torch.full((groups,), group_size, dtype=torch.int64)
    sizes[-1] = inputs - (groups - 1) * group_size
    view = (1, groups) + (1,) * (len(shape) - 2)
    return sizes.view(view).expand(shape[0], groups, *shape[2:]).contiguous()


def group_magnitude(weight: Tensor, group_size: int) -> Tensor:
    """Return the root mean square of each group: L2 norm normalised by the group's weights.

    The normalisation keeps an incomplete last group comparable with full ones.

    Args:
        weight: (out, in, kh, kw) or (out, in).
        group_size: G.

    Returns:
        float32 tensor shaped like :func:`group_sizes`.
    """
    squares = weight.detach().float().square()
    inputs = weight.shape[1]
    groups = -(-inputs // group_size)
    missing = groups * group_size - inputs
    if missing:
        squares = F.pad(squares.movedim(1, -1), (0, missing)).movedim(-1, 1)
    shape = (weight.shape[0], groups, group_size, *weight.shape[2:])
    sizes = group_sizes(weight.shape, group_size).to(weight.device)
    return (squares.reshape(shape).sum(dim=2) / sizes).sqrt()


def per_latency(score: Tensor, positions: int) -> Tensor:
    """Return the root of what a group contributes per multiply-accumulate it costs.

    A kept group runs once per output position, so equal weights cost 16 times as much on a map of
    32x32 as on one of 8x8: the contribution, ``score**2``, is divided by the positions.

    Args:
        score: root mean square of each group.
        positions: output height x width of the layer.
    """
    return score / math.sqrt(positions)
