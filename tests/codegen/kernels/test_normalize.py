"""Normalization in integers: near the real one, whatever the values."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.graph.ops.normalize import make_table, most_gain, normalized


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("sizes", [(1, 7), (35, 1), (35, 7), (1, 1)])
@pytest.mark.parametrize("spread", [1, 5, 60])
def test_results_are_the_nearest_step_or_the_next(
    sizes: tuple[int, int], center: bool, spread: float
) -> None:
    rng = np.random.default_rng(3)
    scale_in, scale_out, points = 0.03, 0.02, (-11, 5)
    x = rng.normal(-11, spread, (4, 5, 7, 7)).round().clip(-128, 127).astype(np.int8)
    elements = sizes[0] * sizes[1]
    factor = 1.0 if center else elements**0.5
    epsilon = 1e-3 * elements ** (2 if center else 1)
    (table,) = make_table((scale_in,), (scale_out,), elements, factor, epsilon)
    got = normalized(x, sizes, center, table, points).astype(int) - points[1]
    real = (x.astype(float) + 11) * scale_in
    sets = real.reshape(4, 35 // sizes[0], sizes[0], 7 // sizes[1], sizes[1])
    if center:
        sets = sets - sets.mean(axis=(2, 4), keepdims=True)
    wanted = sets / np.sqrt((sets**2).mean(axis=(2, 4), keepdims=True) + 1e-3)
    steps = (wanted / scale_out).clip(-128 - points[1], 127 - points[1]).reshape(x.shape)
    assert np.abs(got - steps).max() < 0.52


def test_a_set_without_spread_is_the_zero_point() -> None:
    x = np.full((1, 3, 5, 2), 77, np.int8)
    (table,) = make_table((0.1,), (0.01,), 30, 1.0, 0.0)
    assert (normalized(x, (15, 2), True, table, (0, -3)) == -3).all()
    assert (normalized(x, (15, 2), False, table, (77, -3)) == -3).all()


def test_extreme_sets_stay_within_32_bits() -> None:
    """One outlier among many equal values, and the largest sets and gains there may be."""
    for elements in (2, 61, 4096, 2**18):
        x = np.full((1, 1, 1, elements), -128, np.int8)
        x[..., -1] = 127
        for gain in (0.6, 50.0, most_gain(elements) / 16):
            (table,) = make_table((1.0,), (1 / gain,), elements, 1.0, 0.0)
            got = normalized(x, (1, elements), True, table, (-128, 0))
            assert got[..., -1] == pytest.approx(min(gain * (elements - 1) ** 0.5, 127), abs=0.6)
            assert got[0, 0, 0, 0] == pytest.approx(
                max(-gain / (elements - 1) ** 0.5, -128), abs=0.6
            )
