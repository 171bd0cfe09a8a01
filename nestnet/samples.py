"""What a network sees of the raw numbers of a sensor, and how that lies in int8.

A network is fed ``x = (raw - mean) / std`` for each channel; where no mean and std are given, the
mean of the training data and half the distance from it that 999 of 1000 values keep, so that x is
in -2..2 as it is of pixels. A device computes int8 from the raw numbers alone, by the record
``source``; what x means is defined by it, so that training sees what the device computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from codegen.errors import UserError
from codegen.graph.ir import Meaning
from codegen.graph.sources.quantizer import (
    FLOAT_BITS,
    Int16Source,
    Source,
    float_source,
    int16_source,
)
from codegen.graph.sources.spectrogram import Spectrogram
from nestnet.pixels import Pixels

if TYPE_CHECKING:
    from torch import Tensor

REACH = 2.0
"""Of x, measured: what 999 of 1000 training values stay below, and int8 holds."""
_SHARE = 99.9
_MOST = 4_000_000
"""Numbers that percentiles are taken of; more are thinned out evenly."""
_SATURATED = 0.01
"""Share of a channel's test values outside of int8 that is spoken of."""


@dataclass(frozen=True)
class Samples:
    """``x = scale * q``, q being the int8 values of ``source`` without rounding and saturation."""

    source: Source
    scale: float
    """Of x per step of int8."""
    is_grid = True
    """The input needs no arithmetic in the network, and padding is x = 0."""
    zero_point = 0
    meaning: Meaning = "samples"

    @property
    def dtype(self) -> type[np.generic]:
        """Return the type of the raw numbers."""
        return np.int16 if isinstance(self.source, Int16Source) else np.float32

    @property
    def told(self) -> str:
        """Return what messages say of what the network is fed."""
        return "(raw - mean) / std, as measured or given"

    def to_float(self, raw: Tensor) -> Tensor:
        """Return x (n, c, h, w) of ``raw`` (n, h, w, c), in their memory format."""
        import torch  # the configuration checks itself without PyTorch

        source = self.source
        if isinstance(source, Int16Source):
            steps = raw.int() * raw.new_tensor(source.multiplier, dtype=torch.int32)
            steps = steps + raw.new_tensor(source.bias, dtype=torch.int32)
            per_step = [2.0**-shift for shift in source.shift]
            x = steps.double() * raw.new_tensor(per_step, dtype=torch.float64)
            x = x - 0.5  # what the bias holds to round by
        else:
            offset, multiplier = (
                raw.new_tensor(v, dtype=torch.float32) for v in (source.offset, source.multiplier)
            )
            x = (raw.float() - offset) * multiplier / 2**FLOAT_BITS
        return (x * self.scale).float().permute(0, 3, 1, 2)

    def to_input(self, x: Tensor) -> Tensor:
        """Return the real values of the integer graph's input for x: x itself."""
        return x

    def random(self, random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[Any]:
        """Return raw numbers of ``shape`` (n, h, w, c) whose x is in -REACH..REACH."""
        x = random.uniform(-REACH, REACH, shape)
        source = self.source
        if isinstance(source, Int16Source):
            per_raw = np.array(source.multiplier) * 2.0 ** -np.array(source.shift) * self.scale
            center = -np.array(source.bias) / np.array(source.multiplier)
            raw: NDArray[Any] = np.rint(x / per_raw + center)
            raw = np.clip(raw, -(2**15), 2**15 - 1)
            return raw.astype(self.dtype)
        per_raw = np.array(source.multiplier) / 2**FLOAT_BITS * self.scale
        raw = x / per_raw + np.array(source.offset)
        return raw.astype(self.dtype)

    def oddities(self, raw: NDArray[Any]) -> tuple[str, ...]:
        """Return what to say of the ``raw`` test data (n, h, w, c) that int8 does not hold."""
        thinned = _thinned(raw)
        quantized = self.source.quantize(thinned)
        ends = (quantized == 127) | (quantized == -128)
        shares = ends.reshape(-1, raw.shape[-1]).mean(axis=0)
        worst = int(shares.argmax())
        if shares[worst] <= _SATURATED:
            return ()
        return (
            f"{shares[worst]:.1%} of the test values of channel {worst} saturate: the training "
            "data do not reach that far",
        )


Seen = Pixels | Samples
"""What a network sees of what lies in its data."""


def measured(
    raw: NDArray[Any], mean: Sequence[float] = (), std: Sequence[float] = ()
) -> tuple[tuple[float, ...], tuple[float, ...], float]:
    """Return mean and std for each channel, and the largest ``|x|`` that int8 is to hold.

    Args:
        raw: the training data, (n, ..., c), int16 or float32.
        mean: what the network is known to be fed, in raw numbers; empty: measured.
        std: the same.

    Raises:
        UserError: one of mean and std without the other, not one number or one a channel, no
            numbers above 0, or every value of a channel is the same.
    """
    channels = raw.shape[-1]
    flat = _thinned(raw).reshape(-1, channels).astype(np.float64)
    if mean or std:
        center, spread = _given("mean", mean, channels), _given("std", std, channels)
        if not (spread > 0).all():
            raise _refusal(f"std {tuple(std)}", "numbers above 0")
        reach = np.percentile(np.abs(flat - center) / spread, _SHARE, axis=0).max()
        return tuple(center.tolist()), tuple(spread.tolist()), _rounded(max(reach, 1e-6))
    center = np.array([_rounded(value) for value in flat.mean(axis=0)])
    far = np.abs(flat - center)
    spread = np.percentile(far, _SHARE, axis=0)
    spread = np.where(spread > 0, spread, far.max(axis=0))
    constant = np.flatnonzero(spread <= 1e-9 * np.maximum(1, np.abs(center)))
    if len(constant):
        raise UserError(
            "training data",
            f"channel {constant[0]} says nothing",
            got=f"{center[constant[0]]:g} everywhere",
            expected="values that differ",
            action="Leave the channel out",
        )
    return (
        tuple(center.tolist()),
        tuple(_rounded(value / REACH) for value in spread.tolist()),
        REACH,
    )


def samples_of(
    mean: Sequence[float],
    std: Sequence[float],
    reach: float,
    dtype: np.dtype[Any],
    spectrogram: Spectrogram | None = None,
) -> Samples:
    """Return what a network sees of raw numbers of ``dtype``; the numbers are :func:`measured`'s.

    Half of int8's steps stand for ``reach``.
    """
    scale = reach / 128
    steps = [value * scale for value in std]
    if dtype == np.int16:
        return Samples(int16_source(mean, steps, spectrogram), scale)
    return Samples(float_source(mean, steps), scale)


def _given(name: str, values: Sequence[float], channels: int) -> NDArray[np.float64]:
    if len(values) not in (1, channels):
        raise _refusal(
            f"{len(values)} numbers as {name}",
            "1" if channels == 1 else f"1, or {channels}: one a channel",
        )
    return np.broadcast_to(np.array(values, np.float64), (channels,))


def _rounded(value: float) -> float:
    """Return ``value`` with six digits: what a configuration shows is what is computed with."""
    return float(f"{value:.6g}")


def _thinned(raw: NDArray[Any]) -> NDArray[Any]:
    """Return some of the windows of ``raw`` where there are very many, evenly spread."""
    every = max(1, raw.size // _MOST)
    return raw[::every]


def _refusal(got: str, expected: str) -> UserError:
    return UserError(
        "mean and std",
        "do not say how samples are normalized: (raw - mean) / std",
        got=got,
        expected=expected,
        action="Leave both out to have them measured, or give what the network was trained with",
    )
