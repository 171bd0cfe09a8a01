"""A real Fourier transform in integers, as ``firmware/sources/nn_spectrogram.c`` computes it.

Of ``size`` real samples, packed as size / 2 complex ones. Data is int32, factors are int16 in units
of 2**-15; every stage halves, so nothing overflows from ``|sample| < 2**28`` on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int16Array = NDArray[np.int16]
Int64Array = NDArray[np.int64]

FACTOR_BITS = 15
"""A factor of 1 would be 2**15; the largest is one less."""
SAMPLE_BITS = 28
"""Samples are below 2**28."""
POWER_SHIFT = 30
"""Powers are given without their lowest bits, below 2**32."""


def factors(size: int) -> Int16Array:
    """Return ``exp(-2j * pi * k / size)`` for k below size / 2, shape (size / 2, 2): real,
    imaginary."""
    angle = -2 * np.pi * np.arange(size // 2) / size
    pairs = np.stack([np.cos(angle), np.sin(angle)], axis=1) * 2.0**FACTOR_BITS
    return np.clip(np.rint(pairs), -(2**15), 2**15 - 1).astype(np.int16)


def powers(samples: Int64Array, table: Int16Array) -> Int64Array:
    """Return the powers (n, size / 2) of the frequencies below half the sampling rate.

    Args:
        samples: (n, size), size a power of two, at least 4.
        table: :func:`factors` of size.

    The power of frequency 0 is left 0. Others are ``|4 * X / size| ** 2 >> 30``, X being the
    transform without rounding.
    """
    half = samples.shape[1] // 2
    order = _bit_reversed(half)
    re, im = samples[:, 0::2][:, order], samples[:, 1::2][:, order]
    width = 1
    while width < half:
        re, im = _stage(re, im, width, table)
        width *= 2
    mirror = half - np.arange(1, half // 2 + 1)
    k = half - mirror
    even_re, even_im = re[:, k] + re[:, mirror], im[:, k] - im[:, mirror]
    odd_re, odd_im = im[:, k] + im[:, mirror], re[:, mirror] - re[:, k]
    turned_re, turned_im = _turned(odd_re, odd_im, table[k])
    found = np.zeros((len(samples), half), np.int64)
    found[:, mirror] = _power(even_re - turned_re, even_im - turned_im)
    found[:, k] = _power(even_re + turned_re, even_im + turned_im)
    return found


def _stage(
    re: Int64Array, im: Int64Array, width: int, table: Int16Array
) -> tuple[Int64Array, Int64Array]:
    """Return what pairs of transforms of ``width`` make: those of twice the width, halved."""
    count, half = re.shape
    shape = (count, half // (2 * width), 2, width)
    re, im = re.reshape(shape), im.reshape(shape)
    turned_re, turned_im = _turned(re[:, :, 1], im[:, :, 1], table[:: half // width])
    new_re = np.stack([re[:, :, 0] + turned_re, re[:, :, 0] - turned_re], axis=2) >> 1
    new_im = np.stack([im[:, :, 0] + turned_im, im[:, :, 0] - turned_im], axis=2) >> 1
    return new_re.reshape(count, half), new_im.reshape(count, half)


def _turned(re: Int64Array, im: Int64Array, table: Int16Array) -> tuple[Int64Array, Int64Array]:
    """Return the products with the factors, rounded to nearest."""
    cos, sin = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
    rounding = 1 << (FACTOR_BITS - 1)
    return (
        (re * cos - im * sin + rounding) >> FACTOR_BITS,
        (re * sin + im * cos + rounding) >> FACTOR_BITS,
    )


def _power(re: Int64Array, im: Int64Array) -> Int64Array:
    found: Int64Array = (re * re + im * im) >> POWER_SHIFT
    return found


def _bit_reversed(count: int) -> Int64Array:
    order = np.zeros(1, np.int64)
    while len(order) < count:
        order = np.concatenate([2 * order, 2 * order + 1])
    return order
