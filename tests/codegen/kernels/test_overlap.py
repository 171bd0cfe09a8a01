"""Overlap rules against the kernels' order of reads and writes, byte by byte."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codegen.graph.joined import Part, Steps
from codegen.kernels.common.in_place import (
    ELEMENTWISE,
    any_overlap,
    depthwise_overlap,
    patch_overlap,
    residual_overlap,
    window_overlap,
)
from codegen.kernels.common.parts import PartArgs, part_overlap
from codegen.kernels.common.shape import WindowShape
from codegen.program.draft import Overlap
from tests.support import kernel_order
from tests.support.kernel_order import Order

SEEDS = range(60)


def random_shape(seed: int, *, in_c: int | None = None, out_c: int | None = None) -> WindowShape:
    """Return a window whose padding is smaller than its kernel, odd extents included."""
    rng = np.random.default_rng(seed)
    in_h, in_w = (int(extent) for extent in rng.integers(1, 12, 2))
    extents = []
    for size in (in_h, in_w):
        kernel, stride = int(rng.integers(1, 6)), int(rng.integers(1, 4))
        before, after = (int(pad) for pad in rng.integers(0, kernel, 2))
        if size + before + after < kernel:
            kernel, before, after = 1, 0, 0
        extents.append(((size + before + after - kernel) // stride + 1, kernel, stride, before))
    (out_h, kernel_h, stride_h, top), (out_w, kernel_w, stride_w, left) = extents
    channels = in_c or int(rng.integers(1, 8))
    return WindowShape(
        *(in_h, in_w, channels, out_h, out_w, out_c or channels),
        *(kernel_h, kernel_w, stride_h, stride_w, top, left),
    )


def assert_sound(order: Order, rule: Overlap, position: int = 0) -> None:
    """Assert that no distance the rule allows loses an element."""
    inputs, outputs = len(order.last_read[position]), len(order.written)
    for distance in range(-inputs, outputs + rule.step_bytes + 1):
        if rule.allows(distance):
            lost = order.clobbered(position, distance)
            assert not lost.any(), (rule, distance, np.flatnonzero(lost)[:3])


def assert_tight(order: Order, rule: Overlap) -> None:
    """Assert that the next smaller distance loses an element or shares no byte."""
    step = rule.step_bytes
    distance = rule.lead_bytes - 1 if step == 1 else (rule.lead_bytes - 1) // step * step
    if -len(order.last_read[0]) < distance < len(order.written):
        assert order.clobbered(0, distance).any(), (rule, distance)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("nested", [False, True])
def test_convolutions_on_the_patch_buffer(seed: int, nested: bool) -> None:
    s = random_shape(seed, out_c=1 + seed % 9)
    tile = min(s.out_w, 1 + seed % (6 if nested else 3))
    order = kernel_order.patches(s, tile, nested=nested, residual=True)
    assert_sound(order, patch_overlap(s))
    assert_tight(order, patch_overlap(s))
    assert_sound(order, residual_overlap(s), 1)
    assert residual_overlap(s).allows(0)


def random_part(s: WindowShape, seed: int) -> PartArgs:
    """Return what some channels of a map of ``s`` are read from: larger or smaller, backwards."""
    rng = np.random.default_rng(seed)
    channels = int(rng.integers(1, s.in_c + 1))
    pixel = channels + int(rng.integers(0, 3))

    def steps(extent: int, element: int) -> Steps:
        if rng.random() < 0.3:
            return Steps(1, -element, 0)
        repeat = int(rng.choice([each for each in (1, 2, 3, 4) if extent % each == 0]))
        inner = int(rng.choice([0, element]))
        return Steps(repeat, element * int(rng.integers(1, 3)) * (repeat if inner else 1), inner)

    rows, columns = steps(s.in_h, s.in_w * pixel), steps(s.in_w, pixel)
    at = Part("input", 0, rows, columns, channels).pixels(s.in_h, s.in_w)
    offset = int(rng.integers(0, 5)) - int(at.min())
    count = int(at.max()) + offset + channels + int(rng.integers(0, 5))
    part = Part("input", offset, rows, columns, channels)
    return PartArgs(part, int(rng.integers(0, s.in_c - channels + 1)), count)


@pytest.mark.parametrize("seed", SEEDS)
def test_convolutions_of_joined_maps(seed: int) -> None:
    s = random_shape(seed, out_c=1 + seed % 9)
    item = random_part(s, seed)
    tile = min(s.out_w, 1 + seed % 3)
    order = kernel_order.joined(s, [item], tile, nested=seed % 2 == 0, residual=True)
    assert_sound(order, part_overlap(s, item))
    assert_tight(order, part_overlap(s, item))
    assert len(order.last_read) == 2


@pytest.mark.parametrize("seed", SEEDS)
def test_depthwise_convolutions(seed: int) -> None:
    s = random_shape(seed)
    for band in {1, min(2, s.out_h), s.out_h}:
        order = kernel_order.depthwise(s, band)
        rule = depthwise_overlap(s, band)
        assert_sound(order, rule)
        assert_tight(order, rule)
    whole = depthwise_overlap(s, s.out_h)
    assert whole.allows(0), "all of a channel is read first"


@pytest.mark.parametrize("seed", SEEDS)
def test_pools_and_grouped_convolutions(seed: int) -> None:
    s = random_shape(seed)
    assert_sound(kernel_order.windows(s, s.in_c), window_overlap(s, by_channel=True))
    adaptive = replace(s, stride_h=0, pad_top=0, stride_w=0, pad_left=0)
    assert_sound(kernel_order.windows(adaptive, s.in_c), window_overlap(adaptive, by_channel=True))
    groups = 1 + seed % 3
    s = random_shape(seed, in_c=2 * groups, out_c=3 * groups)
    order = kernel_order.windows(s, groups, residual=True)
    assert_sound(order, window_overlap(s, by_channel=False))
    assert_sound(order, ELEMENTWISE, 1)


def test_elementwise_and_linear_layers() -> None:
    assert_sound(kernel_order.elementwise(2, 13), ELEMENTWISE)
    assert_tight(kernel_order.elementwise(2, 13), ELEMENTWISE)
    assert_sound(kernel_order.at_once(13, 5), any_overlap(13))
    assert kernel_order.unknown(3, 3).clobbered(0, 0).any()


def test_usual_layers() -> None:
    """The figures of docs/adr/0008-shared-buffers.md."""

    def same(size: int, in_c: int, out_c: int, kernel: int, stride: int = 1) -> WindowShape:
        out, pad = size // stride, kernel // 2 if stride == 1 else 0
        return WindowShape(
            size, size, in_c, out, out, out_c, kernel, kernel, stride, stride, pad, pad
        )

    row = 32 * 16
    assert patch_overlap(same(32, 16, 16, 3)) == Overlap(-row), "one row is read ahead"
    assert patch_overlap(same(32, 16, 16, 1)) == Overlap(0)
    assert patch_overlap(same(32, 16, 32, 1)) == Overlap(31 * row), "each row grows by one"
    assert patch_overlap(same(32, 16, 32, 3, 2)) == Overlap(-2 * row), "as much is read as written"
    assert depthwise_overlap(same(32, 16, 16, 3), 8) == Overlap(row, 16)
    assert depthwise_overlap(same(32, 16, 16, 3), 32).allows(0)
    assert window_overlap(same(32, 16, 16, 2, 2), by_channel=True).allows(0)
    assert residual_overlap(same(32, 16, 16, 3)) == Overlap(0, row)


def test_an_input_read_twice_obeys_both_rules() -> None:
    both = Overlap(-5, 6).both(Overlap(4, 4))
    assert both == Overlap(4, 12)
    assert [distance for distance in range(-12, 30) if both.allows(distance)] == [12, 24]
