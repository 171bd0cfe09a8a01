"""How raw numbers become int8."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.graph.sources.quantizer import (
    FloatSource,
    Int16Source,
    Source,
    float_source,
    int16_source,
)

CENTER, STEP = (-3000.4, 0.0, 20000.0), (700.0, 0.01, 3.3)


def check_near(source: Source, raw: np.ndarray, tolerance: float) -> None:
    """Compare with the definition: the nearest step, saturated."""
    exact = (raw.astype(np.float64) - CENTER) / STEP
    found = source.quantize(raw)
    assert found.dtype == np.int8 and found.shape == raw.shape
    assert np.abs(found - np.clip(exact, -128, 127)).max() < 0.5 + tolerance
    assert (found == 127).any() and (found == -128).any() and len(np.unique(found)) > 100


def test_16_bit_numbers_become_the_nearest_step() -> None:
    raw = np.random.default_rng(0).integers(-(2**15), 2**15, (1009, 3)).astype(np.int16)
    raw[:2] = [[-(2**15)] * 3, [2**15 - 1] * 3]
    raw[2:301, 2] = 20000 + np.arange(-149, 150)
    check_near(int16_source(CENTER, STEP), raw, 0.02)


def test_floats_become_the_nearest_step() -> None:
    rng = np.random.default_rng(1)
    check_near(float_source(CENTER, STEP), rng.normal(CENTER, np.array(STEP) * 90, (1009, 3)), 0.02)


def test_what_is_no_number_becomes_0_and_what_is_endless_the_end() -> None:
    raw = np.array([[np.nan] * 3, [np.inf] * 3, [-np.inf] * 3, [3e38] * 3, [-3e38] * 3], np.float32)
    found = float_source(CENTER, STEP).quantize(raw)
    assert found.tolist() == [[0] * 3, [127] * 3, [-128] * 3, [127] * 3, [-128] * 3]


def test_a_power_of_two_is_a_shift() -> None:
    """(raw + 8) >> 4 of an accelerometer, (raw + 64) >> 7 of a gyroscope."""
    source = int16_source((0.0, 0.0), (16.0, 128.0))
    raw = np.arange(-(2**15), 2**15, dtype=np.int16)[:, None].repeat(2, axis=1)
    shifted = [(raw[:, 0].astype(int) + 8) >> 4, (raw[:, 1].astype(int) + 64) >> 7]
    assert np.array_equal(source.quantize(raw), np.clip(np.stack(shifted, axis=1), -128, 127))


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        (Int16Source((1,), (0, 0), (0, 0)), "one number for each of 2 channels"),
        (Int16Source((1, 0), (0, 0), (0, 0)), "multipliers are"),
        (Int16Source((1, 1), (0, 2**30 + 1), (0, 0)), "biases are"),
        (Int16Source((1, 1), (0, 0), (0, 25)), "shifts are"),
        (FloatSource((0.0, 0.0), (1.0, 0.0)), "above 0"),
        (FloatSource((0.0, 0.1), (1.0, 1.0)), "single precision"),
    ],
)
def test_a_broken_record_is_named(source: Source, rule: str) -> None:
    assert any(rule in text for text, _ in source.broken(2))
    assert not list(int16_source(CENTER, STEP).broken(3))
    assert not list(float_source(CENTER, STEP).broken(3))
