"""Log-mel energies and MFCC of sound in integers: what a network hears.

Frames of 16-bit samples are weighed (Hann), transformed and gathered in bands of the mel scale; the
logarithm of each band's power, to base 2, is kept as int16 in units of 2**-8. A window of frames is
then shifted so that its loudest band is at a fixed place, so that loud and quiet speakers look
alike, and perhaps turned into cepstral coefficients (a cosine transform over the bands).

Here are the tables that the C in ``firmware/sources/`` is generated with, and the same arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from codegen.errors import UserError
from codegen.graph.sources import fourier
from codegen.graph.sources.fourier import Int16Array, Int64Array

LOG_BITS = 8
"""Logarithms to base 2 are in units of 2**-8."""
NOTHING = -64 << LOG_BITS
"""The logarithm of a band without any power: below every other."""
WEIGHT_BITS = 15
COSINE_BITS = 14
LOG_SEGMENTS = 32
"""Of the table of logarithms between 1 and 2, with straight lines between its entries."""
MAX_FFT = 2048
MAX_MELS = 128
MAX_WINDOW = 2**16
"""Numbers in a window of frames."""
_CLIPS = 8
"""Computed at once; bounds memory, changes no result."""


@dataclass(frozen=True)
class Spectrogram:
    """What is computed of sound, in whole numbers; the defaults are usual for spoken words."""

    rate_hz: int = 16000
    """Samples a second."""
    frame: int = 640
    """Samples of a frame: 40 ms."""
    hop: int = 320
    """Samples from the start of one frame to that of the next: 20 ms."""
    frames: int = 49
    """Of a window, the network's input: about a second."""
    mels: int = 40
    """Bands."""
    coefficients: int = 10
    """Cepstral coefficients of a frame; 0: the bands themselves."""
    low_hz: int = 20
    """Where the lowest band begins."""
    high_hz: int = 0
    """Where the highest band ends; 0: half the sampling rate."""
    range_db: int = 60
    """Bands more than this below the loudest of the window count as this much below it."""
    lift_db: int = 60
    """A window quieter than a sine of full scale is lifted to it by at most this much; 0: loudness
    is kept."""

    @property
    def fft(self) -> int:
        """Return the samples of a transform: the power of two that holds a frame."""
        return max(4, 1 << (self.frame - 1).bit_length())

    @property
    def samples(self) -> int:
        """Return the samples of a window."""
        return self.frame + (self.frames - 1) * self.hop

    @property
    def ram_bytes(self) -> Mapping[str, int]:
        """Return the bytes that a device needs to hear, by what lies there."""
        return {
            "samples": 2 * self.frame,
            "scratch": 4 * self.fft,
            "rows of bands": 2 * self.frames * self.mels,
        }

    @property
    def width(self) -> int:
        """Return the numbers that a frame becomes."""
        return self.coefficients or self.mels

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape (h, w, c) of a window's features."""
        return (self.frames, self.width, 1)

    @property
    def range_log(self) -> int:
        """Return the range in logarithmic units."""
        return _log_units(self.range_db)

    @property
    def quietest_log(self) -> int:
        """Return the loudest band that a window is taken to have at least."""
        return self._full_scale_log - _log_units(self.lift_db)

    @cached_property
    def _full_scale_log(self) -> int:
        """Return about what a sine of full scale gives in the band it is in the middle of."""
        sine = np.rint(32767 * np.sin(np.arange(self.fft) * 2 * np.pi * 0.11))
        clip = sine[: self.frame].astype(np.int16)[None]
        return int(self.log_mel(clip)[0].max())

    @cached_property
    def window_table(self) -> Int16Array:
        """Return the Hann window (frame,), in units of 2**-15."""
        angle = 2 * np.pi * np.arange(self.frame) / self.frame
        return np.clip(np.rint((0.5 - 0.5 * np.cos(angle)) * 2**15), 0, 2**15 - 1).astype(np.int16)

    @cached_property
    def factor_table(self) -> Int16Array:
        """Return the factors of the transform, see :func:`fourier.factors`."""
        return fourier.factors(self.fft)

    @cached_property
    def mel_edges(self) -> NDArray[np.uint16]:
        """Return the first frequency at or above each edge, (mels + 2,): band m rises from edge m
        to m + 1 and falls to m + 2."""
        return np.ceil(self._edges_of_bins).astype(np.uint16)

    @cached_property
    def mel_weights(self) -> NDArray[np.uint16]:
        """Return how far each frequency from the first to the last edge lies between the two edges
        around it, in units of 2**-15: the rising band's weight, the falling one's is the rest."""
        edges, firsts = self._edges_of_bins, self.mel_edges.astype(np.int64)
        bins = np.arange(firsts[0], firsts[-1])
        lower = np.searchsorted(firsts, bins, side="right") - 1
        share = (bins - edges[lower]) / (edges[lower + 1] - edges[lower])
        weights: NDArray[np.uint16] = np.rint(share * 2**WEIGHT_BITS).astype(np.uint16)
        return weights

    @cached_property
    def cosine_table(self) -> Int16Array:
        """Return the orthonormal cosine transform (coefficients, mels), in units of 2**-14."""
        k, m = np.arange(self.coefficients)[:, None], np.arange(self.mels)[None]
        table = np.cos(np.pi * k * (m + 0.5) / self.mels) * np.sqrt(2.0 / self.mels)
        table[:1] /= np.sqrt(2.0)
        factors: Int16Array = np.rint(table * 2**COSINE_BITS).astype(np.int16)
        return factors

    @property
    def _edges_of_bins(self) -> NDArray[np.float64]:
        """Return the edges of the bands, evenly spaced in mel, as frequencies of the transform."""
        low, high = self.low_hz, self.high_hz or self.rate_hz / 2
        mels = np.linspace(_mel(low), _mel(high), self.mels + 2)
        hz = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
        hz[0], hz[-1] = low, high  # there and back may end above half the rate, where nothing is
        return hz * self.fft / self.rate_hz

    def check(self) -> None:
        """Refuse what cannot be computed.

        Raises:
            UserError: a number out of its range, or a band that no frequency lies in.
        """
        half_hz, high_hz = self.rate_hz // 2, self.high_hz or self.rate_hz // 2
        rules = (
            ("rate", self.rate_hz, 1000, 192_000),
            ("frame", self.frame, 4, MAX_FFT),
            ("hop", self.hop, 1, MAX_FFT),
            ("frames", self.frames, 1, MAX_WINDOW // max(1, self.mels)),
            ("mels", self.mels, 2, MAX_MELS),
            ("coefficients", self.coefficients, 0, self.mels),
            ("low_hz", self.low_hz, 0, half_hz - 1),
            ("high_hz", high_hz, self.low_hz + 1, half_hz),
            ("range_db", self.range_db, 6, 90),
            ("lift_db", self.lift_db, 0, 90),
        )
        for name, value, low, high in rules:
            if not low <= value <= high:
                raise _refusal(f"{name} out of range", value, f"{low}..{high}", "Change it")
        firsts = self.mel_edges.astype(np.int64)
        empty = np.flatnonzero(firsts[2:] == firsts[:-2])
        if len(empty):
            raise _refusal(
                f"{len(empty)} of {self.mels} mel bands lie between two frequencies",
                f"{self.rate_hz / self.fft:.3g} Hz from one to the next",
                "a frequency in every band",
                "Ask for fewer mels, a higher low_hz or a longer frame",
            )

    def log_mel(self, clips: Int16Array) -> Int16Array:
        """Return the bands' logarithms (n, frames, mels) of ``clips`` (n, samples): as many frames
        as fit."""
        count = 1 + (clips.shape[1] - self.frame) // self.hop
        starts = np.arange(count) * self.hop
        parts = [
            self._log_mel_of_frames(
                part[:, starts[:, None] + np.arange(self.frame)].reshape(-1, self.frame)
            )
            for part in (clips[at : at + _CLIPS] for at in range(0, len(clips), _CLIPS))
        ]
        parts.append(np.empty((0, self.mels), np.int16))
        return np.concatenate(parts).reshape(len(clips), count, self.mels)

    def _log_mel_of_frames(self, frames: Int16Array) -> Int16Array:
        """Return the logarithms (n, mels) of ``frames`` (n, frame)."""
        weighed = frames.astype(np.int64) * self.window_table
        top = np.abs(weighed).max(axis=1)
        bits = np.frexp(top.astype(np.float64))[1].astype(np.int64)  # top < 2**bits, exactly
        lift = np.where(top > 0, fourier.SAMPLE_BITS - bits, 0)[:, None]
        samples = np.zeros((len(frames), self.fft), np.int64)
        samples[:, : self.frame] = (weighed << np.maximum(lift, 0)) >> np.maximum(-lift, 0)
        power = fourier.powers(samples, self.factor_table)
        energy = self._energies(power)
        found: Int64Array = np.where(energy > 0, _log2(energy) - 2 * (lift << LOG_BITS), NOTHING)
        return found.astype(np.int16)

    def _energies(self, power: Int64Array) -> Int64Array:
        """Return the bands' powers (n, mels), in units of 2**-15, of frequencies (n, fft / 2)."""
        firsts, weights = self.mel_edges.astype(np.int64), self.mel_weights.astype(np.int64)
        found = np.zeros((len(power), self.mels), np.int64)
        for band in range(self.mels + 1):
            span = slice(firsts[band], firsts[band + 1])
            rising = power[:, span] @ weights[span.start - firsts[0] : span.stop - firsts[0]]
            if band < self.mels:
                found[:, band] += rising
            if band:
                found[:, band - 1] += (power[:, span].sum(axis=1) << WEIGHT_BITS) - rising
        return found

    def features(self, log_mel: Int16Array) -> Int16Array:
        """Return the features (n, frames, width, 1) of windows (n, frames, mels) of logarithms.

        A band is how far it lies above or below the middle of the range under the loudest band of
        its window.
        """
        loudest = np.maximum(log_mel.max(axis=(1, 2), keepdims=True), self.quietest_log)
        depth = np.clip(log_mel.astype(np.int64) - loudest, -self.range_log, 0)
        levels = depth + self.range_log // 2
        if self.coefficients:
            sums = levels @ self.cosine_table.astype(np.int64).T
            levels = (sums + (1 << (COSINE_BITS - 1))) >> COSINE_BITS
        features: Int16Array = np.clip(levels, -(2**15), 2**15 - 1).astype(np.int16)
        return features[..., None]

    def of_clips(self, clips: Int16Array) -> Int16Array:
        """Return the features (n, frames, width, 1) of ``clips`` (n, samples)."""
        return self.features(self.log_mel(clips))


def _log2(energy: Int64Array) -> Int64Array:
    """Return the logarithms of positive numbers below 2**62, in units of 2**-8."""
    bits = np.zeros(energy.shape, np.int64)
    for step in (32, 16, 8, 4, 2, 1):
        bits += np.where(energy >> (bits + step) > 0, step, 0)
    top = (energy << np.maximum(31 - bits, 0)) >> np.maximum(bits - 31, 0)  # 2**31 .. 2**32 - 1
    table = log_table().astype(np.int64)
    segment, rest = (top >> 26) & (LOG_SEGMENTS - 1), (top >> 10) & 0xFFFF
    line = table[segment] + (((table[segment + 1] - table[segment]) * rest) >> 16)
    found: Int64Array = (bits << LOG_BITS) + ((line + (1 << (14 - LOG_BITS))) >> (15 - LOG_BITS))
    return found


def log_table() -> NDArray[np.uint16]:
    """Return log2(1 + k / 32) for k of 0..32, in units of 2**-15."""
    found: NDArray[np.uint16] = np.rint(
        np.log2(1 + np.arange(LOG_SEGMENTS + 1) / LOG_SEGMENTS) * 2**15
    ).astype(np.uint16)
    return found


def _mel(hz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hz / 700.0))


def _log_units(decibels: int) -> int:
    """Return a ratio of powers as logarithm to base 2."""
    return round(decibels / (10 * math.log10(2)) * (1 << LOG_BITS))


def _refusal(what: str, got: object, expected: str, action: str) -> UserError:
    return UserError("spectrogram", what, got=got, expected=expected, action=action)
