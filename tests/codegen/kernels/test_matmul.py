"""Products of activations: near the real ones, whatever the gains; what the kernel reserves."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import INT32_MAX
from codegen.graph.ops.matmul import Matmul, make_multiplier
from codegen.lower import lowering
from codegen.target.target import resolve


@pytest.mark.parametrize(
    ("depth", "gain"),
    [(1, 31.0), (1, -0.02), (13, 0.7), (13, 1e-4), (4099, 0.003), (65_521, 2.0**-24)],
)
def test_the_integer_product_is_near_the_real_one(depth: int, gain: float) -> None:
    """Within half a step, and a 2**-8th of one for the fraction bits, where nothing saturates."""
    rng = np.random.default_rng(5)
    spans = (255, 128)
    table = make_multiplier((gain, gain / 2), depth * spans[0] * spans[1])
    assert depth * spans[0] * spans[1] << table[2] <= INT32_MAX
    most = min(120 / abs(gain), depth * 255 * 128)
    a = rng.integers(-128, 128, (1, 1, 31, depth)).astype(np.int8)
    a[..., : depth // 2] = a[..., depth - depth // 2 :]  # sums that cancel, and the rest
    b = np.ones((1, 1, 1, depth), np.int8)
    b[..., : depth // 2] = -1
    exact = (a.astype(int) + 128) @ b.swapaxes(2, 3).astype(int)
    kept = np.abs(exact) < most
    op = Matmul("x", ("a", "b"), "y", False, *table, -128, 127)
    got = op.product((a, b), (-128, 0), 3, 0).astype(int)
    assert kept.any()
    assert np.abs(got - 3 - exact * gain)[kept].max(initial=0) <= 0.51


def test_gains_that_nothing_holds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"gain 0\.7"):
        make_multiplier((0.1, -0.7), 65_521 * 255 * 128)


def test_rows_that_are_no_whole_fours_are_copied_to_the_scratch() -> None:
    for depth, wanted in ((16, 96), (17, 120 + 7 * 20 + 4)):
        net = GraphBuilder((3, 7, depth), 2, 1)
        net.matmul("input", "input")
        (layer,) = lowering.lower(net.graph(), resolve("host")).layers
        assert layer.scratch is not None and layer.scratch.size_bytes == wanted
        assert layer.levels[0].macs == 3 * 7 * 7 * depth
