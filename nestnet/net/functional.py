"""Execute stages without weights on (n, c, h, w) tensors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nestnet.frontend import stages as st


def activate(y: Tensor, act: st.Clip) -> Tensor:
    if act == st.RELU:
        return F.relu(y)
    return y.clamp(act.lo, act.hi)


def reshape(x: Tensor, target: st.Tensor) -> Tensor:
    """Relabel in h, w, c order: what the firmware's buffers have, and free in channels_last."""
    if x.dim() > 2:
        x = x.movedim(1, -1)
    h, w, c = target.shape
    rank = len(target.torch_shape)
    if rank == 1:
        return x.reshape(x.shape[0], c)
    x = x.reshape(x.shape[0], h, w, c) if rank == 3 else x.reshape(x.shape[0], w, c)
    return x.movedim(-1, 1)


def flat_order(shape: st.Shape) -> Tensor:
    """Return for every h, w, c position its index in PyTorch's c, h, w order."""
    h, w, c = shape
    return torch.arange(c * h * w).reshape(c, h, w).permute(1, 2, 0).reshape(-1)


def max_pool(stage: st.MaxPool, x: Tensor) -> Tensor:
    top, left, bottom, right = stage.padding
    if (top, left, bottom, right) != (0, 0, 0, 0):
        x = F.pad(x, (left, right, top, bottom), value=float("-inf"))
    return F.max_pool2d(x, stage.kernel, stage.stride)


def avg_pool(stage: st.AvgPool, x: Tensor) -> Tensor:
    if x.dim() == 3:
        return x.mean(2, keepdim=True)
    top, left, _, _ = stage.padding
    return F.avg_pool2d(x, stage.kernel, stage.stride, (top, left))
