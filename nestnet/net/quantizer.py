"""Fake quantization: the rounding of the integer contract, seen from floating point.

Rules (docs/integer-contract.md): weights int8 symmetric per output channel, shared by the levels;
activations int8 per tensor with a scale per level, zero point -128 where they cannot be negative
and 0 elsewhere. Gradients pass straight through inside the representable range.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from codegen.graph.ir import INT32_MAX, input_span

MAX_RESIDUAL_STEPS = 63.0
"""Steps of a sum that one step of a residual may be; its multiplier has room for 64."""

HALF_UP = 0.5 + 2.0**-13
"""The contract rounds halves up; the excess keeps exact halves (averages) from floating-point
error."""

_MIN_RANGE = 1e-6
"""Smallest range an observer reports, so that tiny values have a usable scale."""

_ONLY_ZEROS = 1e-30
"""Range of a tensor of which nothing but zeros was seen; its scale is that of range 1."""


WIDEST_INPUT = input_span(-128)
"""Steps that an input is at most from its zero point, whatever that is."""


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


def weight_scale(weight: Tensor, kept: Tensor | None, span: int = WIDEST_INPUT) -> Tensor:
    """Return the int8 scale of every output channel, shape (O,).

    ``kept`` masks the weights that some level contains. A channel without any gets scale 1. The
    largest weight is 127 steps, fewer where so many weights are summed that int32 could overflow
    with inputs that are up to ``span`` steps from their zero point.
    """
    values = (weight.detach() if kept is None else weight.detach() * kept).abs().flatten(1)
    scale = values.amax(dim=1).float() / 127.0
    terms = values.shape[1]
    largest_sum = INT32_MAX // span
    if terms * 127 > largest_sum:
        # Rounding adds at most half a step to each weight, and two to the sum in single precision.
        sums = values.double().sum(dim=1) / max(largest_sum - terms / 2 - 2, 1.0)
        scale = torch.maximum(scale, sums.float())
    return torch.where(scale > torch.finfo(torch.float32).tiny, scale, torch.ones_like(scale))


def fake_quantize_weight(weight: Tensor, kept: Tensor | None, span: int = WIDEST_INPUT) -> Tensor:
    """Return ``weight`` on its per-channel int8 grid; see :func:`weight_scale`."""
    scale = weight_scale(weight, kept, span).reshape(-1, *([1] * (weight.dim() - 1)))
    result: Tensor = _FakeQuantizeWeight.apply(weight, scale)  # type: ignore[no-untyped-call]
    return result


class Observer(nn.Module):
    """Range of one activation tensor, kept per level.

    Inside :func:`calibration` a range is the largest value seen; in training it is an exponential
    mean of batch maxima. A tensor that cannot be negative has zero point -128 and scale max / 255,
    another one zero point 0 and scale max|x| / 127. With ``shared`` all levels use the largest of
    their ranges, so that no level's values saturate for being larger than another's.

    Tensors that lie on one grid (the inputs of a concatenation) are observed one by one; the
    largest of their ranges makes the grid of all.

    Where a convolution adds a residual, one step of the residual is at most MAX_RESIDUAL_STEPS
    steps of the sum: a finer sum would hold nothing but the residual's rounding.
    """

    range: Tensor
    """Shape (levels,); 0 where nothing was seen."""

    def __init__(
        self, zero_point: int, shared: bool = False, fixed_range: float | None = None
    ) -> None:
        """Create an observer of one level that has seen nothing."""
        super().__init__()
        self.zero_point = zero_point
        self.shared = shared
        self.fixed_range = fixed_range
        """The range of every level where it is known beforehand; None: it is observed."""
        self.frozen = False
        self.calibrating = False
        self.momentum = 0.05
        self.residual: tuple[Observer | float, ...] = ()
        """Whose values are added to what is observed; the network's input stands as its scale."""
        self.joined: tuple[Observer, ...] = ()
        """The other observers of tensors on the same grid."""
        self.register_buffer("range", torch.zeros(1))

    def set_levels(self, n_levels: int) -> None:
        """Give every level a copy of the densest level's range."""
        self.range = self.range[-1:].repeat(n_levels)

    def observe(self, x: Tensor, level: int) -> None:
        """Update the range of ``level`` from a batch; one of zeros only says nothing."""
        with torch.no_grad():
            slot = self.range[level]
            if self.fixed_range is not None:
                slot.fill_(self.fixed_range)
                return
            high = x.detach().amax() if self.zero_point else x.detach().abs().amax()
            high = high.to(slot.dtype).clamp_min(_ONLY_ZEROS)
            if self.calibrating:
                slot.copy_(torch.maximum(slot, high))
                return
            later = torch.where(high > _ONLY_ZEROS, torch.lerp(slot, high, self.momentum), slot)
            slot.copy_(torch.where(slot > _ONLY_ZEROS, later, high))

    def scales(self, asking: tuple[Observer, ...] = ()) -> Tensor:
        """Return the scale of every level, shape (levels,); ``asking`` are those whose residual
        this is, directly or not."""
        steps = 255.0 if self.zero_point else 127.0
        span, grid = self.range, (self, *self.joined)
        for other in self.joined:
            span = torch.maximum(span, other.range)
        scales = torch.where(span > _ONLY_ZEROS, span.clamp_min(_MIN_RANGE), 1.0) / steps
        for source in (source for observer in grid for source in observer.residual):
            if not isinstance(source, Observer):
                least = scales.new_tensor(source)
            elif source in (*asking, *grid):
                continue  # bounded by itself
            else:
                least = source.scales((*asking, *grid))
            scales = torch.maximum(scales, least / MAX_RESIDUAL_STEPS)
        return scales.amax().expand_as(scales) if self.shared else scales

    def scale(self, level: int) -> Tensor:
        """Return the scale of ``level``, a scalar tensor."""
        return self.scales()[level]

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

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Accept the one range that levels which share it had in earlier checkpoints."""
        saved = state_dict.get(prefix + "range")
        if self.shared and saved is not None and len(saved) == 1:
            state_dict[prefix + "range"] = saved.repeat(len(self.range))
        super()._load_from_state_dict(state_dict, prefix, *rest)


@contextmanager
def evaluation(network: nn.Module) -> Iterator[None]:
    """Put ``network`` into evaluation mode for a while, without gradients."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def calibration(network: nn.Module) -> Iterator[None]:
    """Forget the activation ranges of ``network``; what it computes inside sets them anew.

    Everything but the observers is in evaluation mode meanwhile, and no gradient is kept.
    """
    observers = [module for module in network.modules() if isinstance(module, Observer)]
    frozen = [observer.frozen for observer in observers]
    with evaluation(network):
        for observer in observers:
            observer.range.zero_()
            observer.train()
            observer.calibrating, observer.frozen = True, False
        try:
            yield
        finally:
            for observer, was_frozen in zip(observers, frozen, strict=True):
                observer.calibrating, observer.frozen = False, was_frozen


def round_input(x: Tensor, scale: float, zero_point: int) -> Tensor:
    """Round the network's input to its fixed grid."""
    step = torch.tensor(scale, device=x.device)
    result: Tensor = _FakeQuantize.apply(x, step, zero_point)  # type: ignore[no-untyped-call]
    return result
