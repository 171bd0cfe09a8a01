"""Change recordings at random so that what they say stays the same, before they are heard."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from codegen.graph.sources.spectrogram import Spectrogram

SPEED = (0.8, 1.25)
"""How much faster, and higher, a voice may be."""
SHIFT_S = 0.1
NOISE = 0.03
"""Of the loudest sample, the largest standard deviation of noise."""
MASKS = 2
MASK_S = 0.1
"""Longest gap."""


def changed(
    clips: NDArray[np.int16], generator: torch.Generator, what: Spectrogram
) -> NDArray[np.int16]:
    """Return ``clips`` (n, samples) at another speed, shifted, with noise and gaps.

    Args:
        clips: of one window each.
        generator: source of the random numbers, on the CPU.
        what: how they are heard, which gives the sampling rate. Loudness is not changed: hearing
            takes it out.
    """
    count, samples = clips.shape
    draw = torch.rand((4 + 2 * MASKS, count, 1), generator=generator).double().numpy()
    noise = torch.randn((count, samples), generator=generator).numpy()
    low, high = np.log(SPEED)
    speed = np.exp(low + (high - low) * draw[0])
    middle, t = (samples - 1) / 2, np.arange(samples)
    place = (t - middle) * speed + middle + (2 * draw[1] - 1) * SHIFT_S * what.rate_hz
    before = np.floor(place).astype(np.int64)
    share = place - before
    padded = np.zeros((count, samples + 2))
    padded[:, 1:-1] = clips
    left, right = (np.clip(before + 1 + side, 0, samples + 1) for side in (0, 1))
    heard = np.take_along_axis(padded, left, 1) * (1 - share)
    heard += np.take_along_axis(padded, right, 1) * share
    peak = np.abs(heard).max(axis=1, keepdims=True)
    heard += noise * peak * NOISE * draw[2] * (draw[3] < 0.5)
    for mask in range(MASKS):
        begin, length = draw[4 + 2 * mask], draw[5 + 2 * mask] * MASK_S * what.rate_hz
        heard[(t >= begin * samples) & (t < begin * samples + length)] = 0
    made: NDArray[np.int16] = np.clip(np.rint(heard), -(2**15), 2**15 - 1).astype(np.int16)
    return made
