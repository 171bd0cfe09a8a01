"""Tables of functions: how they are rounded, shared, counted, skipped and shared in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph, Value
from codegen.graph.ops.lookup import Lookup, make_table
from codegen.graph.reference import run_one
from codegen.graph.synthetic import random_images
from codegen.lower.lowering import lower
from codegen.passes.skip_dead_channels import dead_elements, skip_dead_channels
from codegen.target.target import resolve

LEVELS = 3


def value(scale: tuple[float, ...], zero_point: int = 0) -> Value:
    return Value("x", (1, 1, 1), scale, zero_point)


def with_lookup(levels: int = LEVELS, function: object = np.tanh) -> Graph:
    assert callable(function)
    net = GraphBuilder((5, 7, 3), levels, 1)
    net.conv("input", 11, (3, 3), group=1, densities=tuple(np.linspace(0.2, 0.9, levels)))
    net.lookup(net.last, function)
    net.conv(net.last, 3, (1, 1))
    return net.graph()


def test_entries_are_the_nearest_steps() -> None:
    source, target = value((0.5,), -128), value((0.25,), 3)
    (row,) = make_table(lambda x: 0.1 * x, source, target)
    assert row[0] == 3, "the zero point stands for 0"
    for q in (-128, -127, -3, 0, 1, 127):
        real = 0.1 * 0.5 * (q + 128)
        assert row[q + 128] == min(127, round(real / 0.25) + 3)


def test_halves_are_rounded_up() -> None:
    (row,) = make_table(lambda x: 0.1 * x, value((0.1,)), value((0.02,)))
    assert [row[q + 128] for q in (-3, -1, 0, 1, 3)] == [-1, 0, 0, 1, 2]


def test_entries_saturate() -> None:
    (row,) = make_table(lambda x: 1000 * x, value((1.0,)), value((1.0,)))
    assert row.tolist() == [-128] * 128 + [0] + [127] * 127


@pytest.mark.parametrize("function", [np.tanh, np.arctan, np.cbrt, lambda x: x.clip(-1, 2)])
def test_tables_of_rising_functions_never_fall(function: object) -> None:
    assert callable(function)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        source = value(tuple(10.0 ** rng.uniform(-4, 1, 3)), int(rng.integers(-128, 128)))
        target = value(tuple(10.0 ** rng.uniform(-4, 1, 3)), int(rng.integers(-128, 128)))
        steps = np.diff(make_table(function, source, target).astype(int), axis=1)
        assert steps.min() >= 0


def test_levels_share_a_table_only_if_it_is_the_same() -> None:
    same, other = value((0.1, 0.1)), value((0.1, 0.2))
    assert make_table(np.tanh, same, value((0.01, 0.01))).shape == (1, 256)
    assert make_table(np.tanh, other, value((0.01, 0.01))).shape == (2, 256)
    assert make_table(np.tanh, same, value((0.01, 0.02))).shape == (2, 256)
    assert make_table(lambda x: x, other, other).shape == (1, 256)


def test_each_level_reads_its_own_table() -> None:
    graph = with_lookup()
    images = random_images(graph, 2, 5)
    swapped = tuple(
        replace(op, table=op.table[[0, 2, 1]]) if isinstance(op, Lookup) else op for op in graph.ops
    )
    changed = replace(graph, ops=swapped)
    same = [
        np.array_equal(run_one(graph, images, k), run_one(changed, images, k))
        for k in range(LEVELS)
    ]
    assert same == [True, False, False]


@pytest.mark.parametrize("levels", [1, LEVELS])
def test_tables_count_in_flash(levels: int) -> None:
    graph = with_lookup(levels)
    layer = lower(graph, resolve("host")).layers[1]
    assert layer.kernel == "lookup" and layer.flash_bytes == 256 * levels
    assert [layer.own_bytes(level) for level in range(levels)] == [256 * (levels > 1)] * levels
    assert [cost.weight_bytes for cost in layer.levels] == [256] * levels
    assert layer.args.needs_state == (levels > 1)


def test_a_shared_table_is_no_levels_own() -> None:
    graph = with_lookup()
    ops = tuple(
        replace(op, table=op.table[:1]) if isinstance(op, Lookup) else op for op in graph.ops
    )
    layer = lower(replace(graph, ops=ops), resolve("host")).layers[1]
    assert layer.flash_bytes == 256 and layer.own_bytes(1) == 0
    assert not layer.args.needs_state


def test_a_lookup_needs_no_memory_beside_its_input() -> None:
    map_bytes = 3 * 5 * 11
    assert map_bytes <= lower(with_lookup(), resolve("host")).peak_bytes[1] < map_bytes + 8


@pytest.mark.parametrize(
    ("function", "stays"), [(np.tanh, True), (lambda x: 2 + np.tanh(x), False)]
)
def test_dead_channels_pass_a_function_that_is_zero_at_zero(function: object, stays: bool) -> None:
    graph = with_lookup(function=function)
    conv = graph.ops[0]
    requant = replace(conv.requant, bias=conv.requant.bias.copy())
    requant.bias[4:8] = -32768  # the clamp at -128 is the zero point
    requant.bias_delta[:, 4:8] = 0
    weight = conv.weight.copy()
    weight[4:8] = 0
    graph = replace(graph, ops=(replace(conv, weight=weight, requant=requant), *graph.ops[1:]))
    dead = dead_elements(graph)[graph.ops[1].output]
    assert dead.any() == stays and dead[..., 4:8].all() == stays
    after = skip_dead_channels(graph)
    assert after.value(after.ops[1].output).shape[2] == (7 if stays else 11)
    images = random_images(graph, 2, 3)
    for level in range(LEVELS):
        assert np.array_equal(run_one(after, images, level), run_one(graph, images, level))
