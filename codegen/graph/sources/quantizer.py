"""How raw numbers become the int8 values of an input, as ``firmware/sources/nn_quantize.c`` does.

A pixel p of 0..255 becomes p - 128. Every other input has a record of this module in its
:class:`codegen.graph.ir.Value`, with numbers for each channel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.graph.sources.spectrogram import Spectrogram

MAX_MULTIPLIER = 2**14
MAX_BIAS = 2**30
MAX_SHIFT = 24
FLOAT_BITS = 8
"""Bits below the point that a float keeps until it is rounded."""
_FLOAT_TOP = 2.0**16
"""Products from here on saturate whatever they are."""


@dataclass(frozen=True)
class Int16Source:
    """``q = sat8((raw * multiplier[c] + bias[c]) >> shift[c])`` of a 16-bit number."""

    multiplier: tuple[int, ...]
    """One a channel, 1..2**14."""
    bias: tuple[int, ...]
    """One a channel; it holds the channel's offset and the rounding half."""
    shift: tuple[int, ...]
    """One a channel, 0..24."""
    spectrogram: Spectrogram | None = None
    """What computes the 16-bit numbers of sound; None: a sensor gives them."""

    def ram_bytes(self, count: int) -> Mapping[str, int]:
        """Return the bytes that a device needs to make an input of ``count`` values."""
        if self.spectrogram is None:
            return {"raw numbers": 2 * count}
        return {**self.spectrogram.ram_bytes, "features": 2 * count}

    def quantize(self, raw: NDArray[Any]) -> NDArray[np.int8]:
        """Return the int8 values of int16 ``raw`` (..., c)."""
        steps = raw.astype(np.int64) * np.array(self.multiplier) + np.array(self.bias)
        return _saturated(steps >> np.array(self.shift))

    def broken(self, channels: int) -> Iterator[tuple[str, object]]:
        """Yield the rules that the record breaks for an input of so many ``channels``."""
        yield from _counts(channels, self.multiplier, self.bias, self.shift)
        if not all(1 <= m <= MAX_MULTIPLIER for m in self.multiplier):
            yield f"multipliers are 1..{MAX_MULTIPLIER}", self.multiplier
        if not all(abs(b) <= MAX_BIAS for b in self.bias):
            yield f"biases are at most {MAX_BIAS}", self.bias
        if not all(0 <= s <= MAX_SHIFT for s in self.shift):
            yield f"shifts are 0..{MAX_SHIFT}", self.shift


@dataclass(frozen=True)
class FloatSource:
    """``q = sat8((floor((raw - offset[c]) * multiplier[c]) + 128) >> 8)`` of a float.

    No sum follows a product, so a compiler that fuses both changes
    nothing. All is of single precision. A NaN becomes 0.
    """

    offset: tuple[float, ...]
    """One a channel, of single precision."""
    multiplier: tuple[float, ...]
    """One a channel, of single precision: 256 steps a unit."""

    def ram_bytes(self, count: int) -> Mapping[str, int]:
        """Return the bytes that a device needs to make an input of ``count`` values."""
        return {"raw numbers": 4 * count}

    def quantize(self, raw: NDArray[Any]) -> NDArray[np.int8]:
        """Return the int8 values of float32 ``raw`` (..., c)."""
        with np.errstate(invalid="ignore", over="ignore"):
            offset, multiplier = (np.array(v, np.float32) for v in (self.offset, self.multiplier))
            steps = (raw.astype(np.float32) - offset) * multiplier
        steps = np.clip(np.nan_to_num(steps, nan=0.0), -_FLOAT_TOP, _FLOAT_TOP)
        rounded = (np.floor(steps).astype(np.int64) + (1 << (FLOAT_BITS - 1))) >> FLOAT_BITS
        return _saturated(rounded)

    def broken(self, channels: int) -> Iterator[tuple[str, object]]:
        """Yield the rules that the record breaks for an input of so many ``channels``."""
        yield from _counts(channels, self.offset, self.multiplier)
        numbers = np.array([*self.offset, *self.multiplier])
        if not (np.isfinite(numbers).all() and (np.array(self.multiplier) > 0).all()):
            yield "offsets are finite, multipliers finite and above 0", numbers.tolist()
        if (numbers != numbers.astype(np.float32)).any():
            yield "offsets and multipliers are of single precision", numbers.tolist()


Source = Int16Source | FloatSource


def int16_source(
    center: Sequence[float], step: Sequence[float], spectrogram: Spectrogram | None = None
) -> Int16Source:
    """Return the rule by which ``center`` becomes 0 and center + ``step`` 1, for each channel."""
    per_unit = 1.0 / np.array(step, np.float64)
    room = np.floor(np.log2(MAX_MULTIPLIER / per_unit))
    shift = np.clip(room, 0, MAX_SHIFT)
    multiplier = np.clip(np.rint(per_unit * 2.0**shift), 1, MAX_MULTIPLIER)
    bias = np.rint(2.0**shift / 2 - np.array(center, np.float64) * multiplier)
    return Int16Source(
        tuple(multiplier.astype(int).tolist()),
        tuple(np.clip(bias, -MAX_BIAS, MAX_BIAS).astype(int).tolist()),
        tuple(shift.astype(int).tolist()),
        spectrogram,
    )


def float_source(center: Sequence[float], step: Sequence[float]) -> FloatSource:
    """Return the rule by which ``center`` becomes 0 and center + ``step`` 1, for each channel."""
    offset = np.array(center, np.float32)
    multiplier = (2.0**FLOAT_BITS / np.array(step, np.float64)).astype(np.float32)
    return FloatSource(
        tuple(offset.astype(float).tolist()), tuple(multiplier.astype(float).tolist())
    )


def _saturated(values: NDArray[np.int64]) -> NDArray[np.int8]:
    found: NDArray[np.int8] = np.clip(values, -128, 127).astype(np.int8)
    return found


def _counts(channels: int, *numbers: Sequence[float]) -> Iterator[tuple[str, object]]:
    for each in numbers:
        if len(each) != channels:
            yield f"one number for each of {channels} channels", len(each)
            return
