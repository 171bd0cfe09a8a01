"""The entropy bound against cases counted by hand, and as a bound on what codecs reach."""

from __future__ import annotations

from math import comb, log2

import numpy as np
import pytest

from codegen.formats import entropy, storage
from codegen.graph.ir import NEVER


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        ([], 0),
        ([5, 5, 5, 5], 0),
        ([1, 2, 3, 4], 8),  # four values, two bits each
        ([-1, -1, 0, 7], 2 * 1 + 2 * 2),  # a half in one bit, two quarters in two
    ],
)
def test_weights(values: list[int], bits: float) -> None:
    assert entropy.weight_bits(np.array(values, np.int8)) == pytest.approx(bits)


@pytest.mark.parametrize(("places", "groups"), [(4, 2), (7, 0), (7, 7), (52, 5), (9216, 1843)])
def test_positions(places: int, groups: int) -> None:
    assert entropy.position_bits(places, groups) == pytest.approx(log2(comb(places, groups)))


def test_a_layer_by_hand() -> None:
    """Two levels of one group each among four: log2(4) bits twice; weights 1 2 1 2, a bit each."""
    level = np.array([[[[0, NEVER, 1, NEVER]]]], np.uint8)
    weight = np.array([[[[1, 2, 0, 0, 1, 2, 0]]]], np.int8)
    assert entropy.layer_bytes(weight, 2, level, 2) == 1  # 8 bits
    assert entropy.layer_bytes(weight[..., :4], 1, level, 2) == 1  # 4 + 2 bits, rounded up
    assert entropy.layer_bytes(weight, 1, None, 2) == 2  # 3, 2 and 2 of 7: 10.9 bits


@pytest.mark.parametrize(("group", "excess"), [(1, 0.06), (2, 0.06), (4, 0.03)])
def test_random_layers_take_little_more_than_the_bound(group: int, excess: float) -> None:
    """Deltas are within a few per cent of it; G = 2 also completes odd segments."""
    rng = np.random.default_rng(3)
    draw = rng.random((32, 3, 3, 32 // group))
    level = np.select([draw < 0.1, draw < 0.3], [0, 1], NEVER).astype(np.uint8)
    weight = rng.integers(-127, 128, (32, 3, 3, 32)).astype(np.int8)
    weight[np.repeat(level == NEVER, group, axis=-1)] = 0
    bound = entropy.layer_bytes(weight, group, level, 2)
    stored = storage.layer_bytes(weight, group, level, 2)
    print(f"G={group}: bound {bound} bytes, stored {stored}")
    assert bound < stored.stored_bytes < (1 + excess) * bound
