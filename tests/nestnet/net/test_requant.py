"""The requantization tables reproduce real multipliers and biases, extreme ones included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from codegen.errors import UserError
from codegen.graph.ir import Requant
from nestnet.net.requant import MAX_SIDE_MULTIPLIER, make_add, make_requant


def apply(requant: Requant, level: int, acc: np.ndarray) -> np.ndarray:
    """Return t / 2**fraction_bits before the floor, from the contract's formula in int64."""
    multiplier = requant.multiplier_q32(level).astype(np.int64)
    shifted = acc.astype(np.int64) << requant.pre_shift
    assert np.abs(shifted).max() < 2**31
    t = requant.bias_q(level) + ((shifted * multiplier + 2**31) >> 32)
    return t / 2.0**requant.fraction_bits


def check_ranges(requant: Requant) -> None:
    assert 0 <= requant.multiplier_shift <= 16
    assert 0 <= requant.bias_delta_shift <= 8
    assert 0 <= requant.fraction_bits <= 8
    assert 0 <= requant.pre_shift <= 8
    assert not requant.bias_delta[-1].any()
    for level in range(len(requant.multiplier)):
        wide = requant.multiplier[level].astype(np.int64) << requant.multiplier_shift
        assert np.abs(wide).max() < 2**31


@given(
    seed=some.integers(0, 2**31),
    magnitude=some.floats(1e-7, 2.0),
    spread=some.floats(0.0, 2.0),
    bias=some.floats(0.0, 300.0),
    accumulator=some.integers(1, 2**22),
)
def test_outputs_are_within_the_tables_resolution(
    seed: int, magnitude: float, spread: float, bias: float, accumulator: int
) -> None:
    rng = np.random.default_rng(seed)
    gain = magnitude * rng.choice([-1, 1], (3, 5)) * 10.0 ** rng.uniform(-spread, 0, (3, 5))
    offset = rng.uniform(-bias, bias, (3, 5))
    requant, residual = make_requant("layer", gain, offset, accumulator, None)
    assert residual is None
    check_ranges(requant)
    acc = rng.integers(-accumulator, accumulator + 1, (64, 5))
    half = 0.5 if requant.fraction_bits else 0.0
    delta_error = 2.0 ** (requant.bias_delta_shift - 1 - requant.fraction_bits)
    step = 2.0 ** (requant.multiplier_shift + requant.pre_shift - 32 - requant.fraction_bits)
    for level in range(3):
        wanted = gain[level] * acc + offset[level] + half
        relevant = np.abs(wanted) < 600
        error = np.abs(apply(requant, level, acc) - wanted)
        bound = delta_error + step * np.abs(acc) + 2.0 / 2**requant.fraction_bits
        assert (error[relevant] <= bound[relevant]).all()


def test_zero_tiny_and_negative_gains() -> None:
    gain = np.array([[0.0, 1e-30, -0.003, 0.003]])
    requant, _ = make_requant("layer", gain, np.zeros((1, 4)), 10_000, None)
    check_ranges(requant)
    assert requant.multiplier[0, 0] == 0 and requant.multiplier[0, 1] == 0
    assert requant.multiplier[0, 2] == -requant.multiplier[0, 3] < -16_000


def test_all_zero_layer() -> None:
    requant, _ = make_requant("layer", np.zeros((2, 3)), np.zeros((2, 3)), 0, None)
    check_ranges(requant)
    assert not requant.multiplier.any()


@pytest.mark.parametrize("value", [1e4, -1e4, 1e9, -1e9])
def test_huge_biases_saturate_on_the_right_side(value: float) -> None:
    offset = np.array([[0.0, 0.0], [value, 0.0]])
    requant, _ = make_requant("layer", np.full((2, 2), 1e-3), offset, 1000, None)
    check_ranges(requant)
    t = apply(requant, 1, np.zeros((1, 2), np.int64))
    assert t[0, 0] * np.sign(value) > 255 and abs(t[0, 1]) <= 1


def test_huge_gains_saturate() -> None:
    requant, _ = make_requant("layer", np.array([[1e9, 1e-3]]), np.zeros((1, 2)), 2**20, None)
    check_ranges(requant)
    assert apply(requant, 0, np.array([[5000, 0]]))[0, 0] > 255


def test_residual_multiplier_fits_and_is_right() -> None:
    for ratio in (1e-3, 0.2, 0.9, 3.0, 60.0):
        requant, residual = make_requant(
            "layer", np.full((2, 1), 0.01), np.zeros((2, 1)), 1000, np.array([ratio, ratio / 2])
        )
        assert residual is not None and np.abs(residual).max() <= MAX_SIDE_MULTIPLIER
        got = residual / 65536.0 / 2**requant.fraction_bits
        np.testing.assert_allclose(got, [ratio, ratio / 2], atol=1e-6)


def test_residual_out_of_range() -> None:
    with pytest.raises(UserError, match="residual is too large"):
        make_requant("layer", np.ones((1, 1)), np.zeros((1, 1)), 10, np.array([65.0]))


def test_accumulators_that_overflow() -> None:
    with pytest.raises(UserError, match="accumulators can overflow int32"):
        make_requant("layer 'fc'", np.ones((1, 1)), np.zeros((1, 1)), 2**31, None)


@given(
    left=some.floats(1e-4, 50.0),
    right=some.floats(0.0, 50.0),
    points=some.tuples(*[some.sampled_from([-128, 0])] * 3),
)
def test_addition(left: float, right: float, points: tuple[int, int, int]) -> None:
    gains = np.array([[left, right]])
    multiplier, offset, shift = make_add(gains, points[:2], points[2])
    assert np.abs(multiplier).max() <= MAX_SIDE_MULTIPLIER
    a, b = np.meshgrid(np.arange(-128, 128), np.arange(-128, 128))
    parts = (a * int(multiplier[0, 0]), b * int(multiplier[0, 1]), int(offset[0]))
    assert max(np.abs(parts[0] + parts[1]).max(), np.abs(sum(parts)).max()) < 2**31
    real = left * (a - points[0]) + right * (b - points[1]) + points[2]
    got = sum(parts) >> shift
    assert np.abs(got - real).max() <= 0.5 + 512 / 2.0**shift
