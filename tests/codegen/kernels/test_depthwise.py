"""Depthwise convolutions: bands and scratch of docs/format.md, weights by channel."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.kernels.common.shape import WindowShape
from codegen.kernels.depthwise_conv import DEPTHWISE_BYTES, depthwise_band, depthwise_scratch_bytes


def same(height: int, width: int, channels: int, kernel: int = 3, stride: int = 1) -> WindowShape:
    """Return the extents of a convolution padded by half its kernel."""
    out = (-(-height // stride), -(-width // stride))
    pad = kernel // 2
    return WindowShape(
        height, width, channels, *out, channels, kernel, kernel, stride, stride, pad, pad
    )


@pytest.mark.parametrize(
    ("shape", "band", "scratch_bytes"),
    [
        (same(6, 6, 128), 6, 4 * 8 * 8 * 2),
        (same(7, 5, 3), 7, 3 * 9 * 8 * 2),  # 3 channels; 7 columns rounded up to 8
        (same(48, 48, 8), 4, 4 * 6 * 50 * 2),  # a twelfth of the rows
        (same(48, 48, 16, stride=2), 2, 4 * 5 * 50 * 2),  # 49 columns rounded up to 50
        (same(5, 400, 4), 2, 4 * 4 * 402 * 2),  # two rows are too many bytes already
        (same(1, 900, 4), 1, 4 * 3 * 902 * 2),
    ],
)
def test_bands_and_scratch(shape: WindowShape, band: int, scratch_bytes: int) -> None:
    assert depthwise_band(shape) == band
    assert depthwise_scratch_bytes(shape, band) == scratch_bytes


def test_bands_are_even_parts_within_the_bound() -> None:
    rng = np.random.default_rng(5)
    for _ in range(300):
        height, width, channels = (int(n) for n in rng.integers(1, 120, 3))
        shape = same(height, width, channels, int(rng.choice([3, 5, 7])), int(rng.integers(1, 3)))
        band = depthwise_band(shape)
        assert 1 <= band <= shape.out_h
        if band < shape.out_h:
            assert band % 2 == 0
        if band > 2:
            assert depthwise_scratch_bytes(shape, band) <= DEPTHWISE_BYTES
