"""What a network sees of a pixel, and how that lies in int8.

A network is fed ``x = (pixel / 255 - mean) / std``, torchvision's convention; by default
``(pixel - 128) / 64``. A device is always fed ``q = pixel - 128``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from codegen.errors import UserError
from codegen.graph.ir import Meaning

if TYPE_CHECKING:  # the configuration checks itself without PyTorch
    from torch import Tensor

WHITE = 255.0
_SAME_PIXEL = 1e-3
"""A mean this close to a whole pixel is that pixel: means are written with few digits."""

_MEANS = (-0.5, 1.5)
"""Of pixel / 255, which lies in 0..1."""
_MOST_STD = 2.0
"""The same; more than 1 makes less of the pixels than they are."""


@dataclass(frozen=True)
class Pixels:
    """``x = (pixel - center) / spread``, a pair for all channels or one for each."""

    center: tuple[float, ...] = (128.0,)
    """In pixels: 255 times the mean; the pixel that x = 0 stands for."""
    spread: tuple[float, ...] = (64.0,)
    """In pixels: 255 times the standard deviation."""

    meaning: ClassVar[Meaning] = "pixels"
    source: ClassVar[None] = None
    dtype: ClassVar[type[np.generic]] = np.uint8

    @property
    def told(self) -> str:
        """Return what messages say of what the network is fed."""
        centers, spreads = (
            " ".join(f"{v:g}" for v in values) for values in (self.center, self.spread)
        )
        return f"(pixel - {centers}) / {spreads}"

    @property
    def is_grid(self) -> bool:
        """Whether x lies on one int8 grid: the same for all channels, 0 where a pixel is.

        Then the network's input needs no arithmetic on the device, and padding with the zero point
        is padding with x = 0.
        """
        first = self.center[0]
        alike = len(set(self.center)) == len(set(self.spread)) == 1
        return alike and first.is_integer() and 0 <= first <= WHITE

    @property
    def scale(self) -> float:
        """Return the scale of the integer graph's input."""
        return 1.0 / self.spread[0] if self.is_grid else 1.0 / WHITE

    @property
    def zero_point(self) -> int:
        """Return the zero point of the integer graph's input."""
        return int(self.center[0]) - 128 if self.is_grid else -128

    def to_float(self, pixels: Tensor) -> Tensor:
        """Return x (n, c, h, w) of uint8 ``pixels`` (n, h, w, c), in their memory format."""
        x = pixels.float()
        return ((x - x.new_tensor(self.center)) / x.new_tensor(self.spread)).permute(0, 3, 1, 2)

    def to_input(self, x: Tensor) -> Tensor:
        """Return the real values of the integer graph's input for x (n, c, h, w): x itself where
        it lies on the grid, else pixel / 255."""
        if self.is_grid:
            return x
        center, spread = (x.new_tensor(v).view(1, -1, 1, 1) for v in (self.center, self.spread))
        return (x * spread + center) / WHITE

    def random(self, random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Return random pixels of ``shape`` (n, h, w, c)."""
        return random.integers(0, 256, shape, np.uint8)

    def fill(self, channels: int) -> NDArray[np.uint8]:
        """Return the pixel (c,) nearest to x = 0: what moves in where an image is shifted."""
        nearest = np.clip(np.rint(self.center), 0, WHITE).astype(np.uint8)
        return np.broadcast_to(nearest, (channels,))


DEFAULT = Pixels()


def pixels_of(mean: Sequence[float], std: Sequence[float], channels: int) -> Pixels:
    """Return what ``mean`` and ``std`` of pixel / 255 mean; the default where both are empty.

    Raises:
        UserError: one without the other, not one number or one for each of ``channels``, or
            numbers that are no mean and no standard deviation.
    """
    if not mean and not std:
        return DEFAULT
    check(mean, std)
    _check_range(mean, std)
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            raise _refusal(
                f"{len(values)} numbers as {name}",
                "1" if channels == 1 else f"1, or {channels}: one a channel",
            )
    center = [value * WHITE for value in mean]
    center = [round(p) * 1.0 if abs(p - round(p)) < _SAME_PIXEL else p for p in center]
    count = max(len(mean), len(std))
    return Pixels(
        tuple(center) * (count // len(mean)),
        tuple(value * WHITE for value in std) * (count // len(std)),
    )


def check(mean: Sequence[float], std: Sequence[float]) -> None:
    """Check what can be checked without knowing the data; see :func:`pixels_of`."""
    if bool(mean) != bool(std):
        raise _refusal(f"mean {tuple(mean)}, std {tuple(std)}", "both, or neither")
    for name, values in (("mean", mean), ("std", std)):
        if not all(math.isfinite(value) for value in values):
            raise _refusal(f"{name} {tuple(values)}", "finite numbers")
    if any(value <= 0 for value in std):
        raise _refusal(f"std {tuple(std)}", "numbers above 0")


def _check_range(mean: Sequence[float], std: Sequence[float]) -> None:
    """Refuse what is not of pixel / 255."""
    low, high = _MEANS
    if any(not low <= value <= high for value in mean) or any(value > _MOST_STD for value in std):
        raise _refusal(
            f"mean {tuple(mean)}, std {tuple(std)}",
            f"those of pixel / 255: a mean of {low:g}..{high:g}, a std of at most {_MOST_STD:g}",
            "Divide both by 255 if they are in pixels of 0..255: "
            f"mean {_divided(mean)}, std {_divided(std)}",
        )


def _divided(values: Sequence[float]) -> str:
    return " ".join(f"{value / WHITE:.4g}" for value in values)


def _refusal(
    got: str,
    expected: str,
    action: str = "Give what the network was trained with; 0 and 1 for pixels of 0..1",
) -> UserError:
    return UserError(
        "mean and std",
        "do not say how pixels are normalized: (pixel / 255 - mean) / std",
        got=got,
        expected=expected,
        action=action,
    )
