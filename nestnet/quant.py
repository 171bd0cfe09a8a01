"""Fake quantization: the rounding of the integer contract, seen from floating point.

Rules (docs/integer-contract.md): weights int8 symmetric per output channel, shared by the levels;
activations int8 per tensor with a scale per level, zero point -128 where they cannot be negative
and 0 elsewhere. Gradients pass straight through inside the representable range.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

HALF_UP = 0.5 + 2.0**-13
"""The contract rounds halves up; the excess keeps exact halves (averages) from floating-point
error."""

_MIN_RANGE = 1e-6
"""Smallest range an observer reports, so that a dead tensor has a usable scale."""


class _FakeQuantize(torch.autograd.Function):
    """Round ``x`` to the int8 grid; gradient 1 inside the range, 0 outside."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero_point: int) -> Tensor:
        steps = (x.float() / scale).add_(HALF_UP).floor_()
        lo, hi = -128 - zero_point, 127 - zero_point
        ctx.save_for_backward((steps >= lo) & (steps <= hi))
        return steps.clamp_(lo, hi).mul_(scale).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return grad * inside, None, None


class _FakeQuantizeWeight(torch.autograd.Function):
    """Round weights to their channel's grid; the gradient passes unchanged."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, scale: Tensor) -> Tensor:
        return (weight / scale).round_().clamp_(-127, 127).mul_(scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


def weight_scale(weight: Tensor, kept: Tensor | None) -> Tensor:
    """Return the int8 scale of every output channel, shape (O,).

    ``kept`` masks the weights that some level contains. A channel without any gets scale 1.
    """
    values = weight.detach() if kept is None else weight.detach() * kept
    largest = values.abs().flatten(1).amax(dim=1)
    scale = largest.float() / 127.0
    return torch.where(scale > torch.finfo(torch.float32).tiny, scale, torch.ones_like(scale))


def fake_quantize_weight(weight: Tensor, kept: Tensor | None) -> Tensor:
    """Return ``weight`` on its per-channel int8 grid."""
    scale = weight_scale(weight, kept).reshape(-1, *([1] * (weight.dim() - 1)))
    result: Tensor = _FakeQuantizeWeight.apply(weight, scale)  # type: ignore[no-untyped-call]
    return result


class Observer(nn.Module):
    """Range of one activation tensor, per level: an exponential mean of batch maxima.

    A tensor that cannot be negative has zero point -128 and scale max / 255, another one zero
    point 0 and scale max|x| / 127. ``shared`` gives all levels one range.
    """

    range: Tensor

    def __init__(self, zero_point: int, shared: bool = False) -> None:
        """Create an observer of one level that has seen nothing."""
        super().__init__()
        self.zero_point = zero_point
        self.shared = shared
        self.frozen = False
        self.momentum = 0.05
        self.register_buffer("range", torch.zeros(1))

    def set_levels(self, n_levels: int) -> None:
        """Give every level a copy of the densest level's range."""
        self.range = self.range[-1:].repeat(1 if self.shared else n_levels)

    def observe(self, x: Tensor, level: int) -> None:
        """Update the range of ``level`` from a batch; one of zeros only says nothing."""
        with torch.no_grad():
            high = x.detach().amax() if self.zero_point else x.detach().abs().amax()
            slot = self.range[self._slot(level)]
            high = high.to(slot.dtype)
            first = torch.where(high > 0, high, torch.ones_like(high))
            later = torch.where(high > 0, torch.lerp(slot, high, self.momentum), slot)
            slot.copy_(torch.where(slot > 0, later, first))

    def scale(self, level: int) -> Tensor:
        """Return the scale of ``level``, a scalar tensor."""
        steps = 255.0 if self.zero_point else 127.0
        return self.range[self._slot(level)].clamp_min(_MIN_RANGE) / steps

    def forward(self, x: Tensor, level: int) -> Tensor:
        """Observe in training unless frozen, then round ``x`` to the grid of ``level``."""
        if self.training and not self.frozen:
            self.observe(x, level)
        return self.round(x, level)

    def round(self, x: Tensor, level: int) -> Tensor:
        """Round ``x`` to the grid of ``level``."""
        result: Tensor = _FakeQuantize.apply(  # type: ignore[no-untyped-call]
            x, self.scale(level), self.zero_point
        )
        return result

    def _slot(self, level: int) -> int:
        return 0 if self.shared else level


def round_input(x: Tensor, scale: float, zero_point: int) -> Tensor:
    """Round the network's input to its fixed grid."""
    step = torch.tensor(scale, device=x.device)
    result: Tensor = _FakeQuantize.apply(x, step, zero_point)  # type: ignore[no-untyped-call]
    return result
