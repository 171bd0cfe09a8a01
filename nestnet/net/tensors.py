"""What stages work on, as data: tensors, limits of activations, batch norms."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

Shape = tuple[int, int, int]
"""Height, width, channels."""
Shapes = tuple[Shape, ...]
"""Of several tensors, in their order."""
Given = tuple[int, ...]
"""What a user says of an input: height, width, channels, or samples, channels."""


def shapes_of(shape: Given | tuple[Given, ...]) -> tuple[Given, ...]:
    """Return the shapes of all inputs, given those or that of the only one."""
    several = [each for each in shape if isinstance(each, tuple)]
    return tuple(several) or (tuple(each for each in shape if isinstance(each, int)),)


@dataclass(frozen=True)
class Tensor:
    """One activation tensor.

    It carries its PyTorch shape without the batch (``torch_shape``) and the height, width, channel
    shape it has in the integer graph (``shape``).
    """

    name: str
    torch_shape: tuple[int, ...]
    """Without the batch: (c, h, w), (c, n) or (c,)."""
    flat_from: Shape | None = None
    """For a vector that holds a (c, h, w) map flattened in PyTorch's order: the map's h, w, c."""

    @property
    def shape(self) -> Shape:
        """Return height, width, channels as the integer graph sees them."""
        if len(self.torch_shape) == 1:
            return (1, 1, self.torch_shape[0])
        if len(self.torch_shape) == 2:
            return (1, self.torch_shape[1], self.torch_shape[0])
        c, h, w = self.torch_shape
        return (h, w, c)


def as_map(x: torch.Tensor) -> torch.Tensor:
    """Return samples in a row (n, c, w) as a map (n, c, 1, w); anything else as it is."""
    return x.unsqueeze(2) if x.dim() == 3 else x


def flat_order(shape: Shape) -> torch.Tensor:
    """Return for every h, w, c position its index in PyTorch's c, h, w order."""
    h, w, c = shape
    return torch.arange(c * h * w).reshape(c, h, w).permute(1, 2, 0).reshape(-1)


@dataclass(frozen=True)
class Clip:
    """An activation function that limits its input to lo..hi; ReLU is (0, inf)."""

    lo: float
    hi: float

    def then(self, after: Clip) -> Clip:
        """Return the one activation that equals ``self`` followed by ``after``."""
        return Clip(min(max(self.lo, after.lo), after.hi), min(max(self.hi, after.lo), after.hi))

    def __call__(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``y`` within the limits."""
        if self == OPEN:
            return y
        return F.relu(y) if self == RELU else y.clamp(self.lo, self.hi)

    @property
    def has_limit(self) -> bool:
        """Return whether it clips at a value other than 0.

        The limit is one int8 number for all levels, so they share one scale.
        """
        return any(math.isfinite(limit) and limit != 0 for limit in (self.lo, self.hi))

    def in_steps(self, scale: float, zero_point: int) -> tuple[int, int]:
        """Return the limits on the int8 grid of ``scale`` and ``zero_point``."""
        limits = []
        for limit, open_end in ((self.lo, -128), (self.hi, 127)):
            if math.isinf(limit):
                limits.append(open_end)
            else:
                limits.append(min(max(round(limit / scale) + zero_point, -128), 127))
        return limits[0], limits[1]


RELU = Clip(0.0, math.inf)
OPEN = Clip(-math.inf, math.inf)
"""No limits: what a stage without an activation has."""


@dataclass(frozen=True)
class NormParams:
    """Names and constants of one batch norm; tensor names are the user's qualified names."""

    name: str
    weight: str | None
    bias: str | None
    running_mean: str | None
    running_var: str | None
    eps: float
    momentum: float
    fixed: bool = False
    """Whether its statistics are constants, in training too."""
