"""The vectorised reference equals plain loops, bit for bit, on every operator and level."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.errors import UserError
from codegen.graph import reference
from codegen.graph.arithmetic import exact_dtype, kept_weight
from codegen.graph.ir import Graph, TfliteRequant
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.graph.synthetic import (
    conv_layer_graph,
    linear_layer_graph,
    random_graph,
    random_images,
    random_inputs,
)
from tests.support import naive


def assert_equal(graph: Graph, seed: int, images: int = 1) -> None:
    """Compare every value of every level."""
    batch = random_inputs(graph, images, seed)
    for level in range(len(graph.levels)):
        values = reference.run_values(graph, batch, level)
        for index in range(images):
            expected = naive.run(graph, [given[index] for given in batch], level)
            for name, array in expected.items():
                got = values[name][index]
                where = np.argwhere(got != array)[:1].tolist()
                assert not where, f"{graph.name} level {level} value {name} at {where}"
        for name, final in zip(graph.outputs, reference.run(graph, batch, level), strict=True):
            assert np.array_equal(final, values[name])


@pytest.mark.parametrize("seed", range(30))
def test_random_graphs(seed: int) -> None:
    assert_equal(random_graph(seed, largest=6, blocks=3), seed)


@pytest.mark.parametrize(("inputs", "outputs"), [(2, 1), (1, 3), (3, 2)])
@pytest.mark.parametrize("seed", range(4))
def test_random_graphs_of_several_edges(seed: int, inputs: int, outputs: int) -> None:
    graph = random_graph(seed, largest=6, blocks=3, inputs=inputs, outputs=outputs)
    assert (len(graph.inputs), len(graph.outputs)) == (inputs, outputs)
    assert_equal(graph, seed, images=2)


@pytest.mark.parametrize(
    ("groups", "in_c", "out_c"), [(1, 5, 3), (1, 1, 1), (5, 5, 5), (5, 5, 10), (3, 6, 9)]
)
@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (3, 2)])
def test_convolutions(groups: int, in_c: int, out_c: int, stride: tuple[int, int]) -> None:
    graph = conv_layer_graph(
        7, 5, in_c, out_c, (3, 2), stride=stride, groups=groups, densities=None, levels=2
    )
    assert_equal(graph, 3, images=2)


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("in_c", [1, 3, 4, 7])
def test_nested_layers(group: int, in_c: int) -> None:
    densities = (0.0, 0.1, 0.5, 1.0)
    assert_equal(conv_layer_graph(3, 5, in_c, 2, group=group, densities=densities, relu=False), 1)
    assert_equal(linear_layer_graph(in_c, 3, group=group, densities=densities), 1, images=3)


def tflite_rule(graph: Graph, rng: np.random.Generator) -> Graph:
    """Return ``graph`` with its single layer under a random TFLite rule."""
    op = graph.ops[0]
    assert isinstance(op, Conv2D | Linear)
    table = (len(graph.levels), op.weight.shape[0])
    rule = TfliteRequant(
        multiplier=rng.integers(2**30, 2**31 - 1, table).astype(np.int32),
        shift=rng.integers(-11, 2, table).astype(np.int8),
        bias=rng.integers(-5000, 5000, table).astype(np.int32),
    )
    return replace(graph, ops=(replace(op, requant=rule),))


@pytest.mark.parametrize("seed", range(5))
def test_tflite_rule(seed: int) -> None:
    rng = np.random.default_rng(seed)
    conv = conv_layer_graph(5, 3, 7, 11, densities=None, levels=2, seed=seed)
    assert_equal(tflite_rule(conv, rng), seed)
    assert_equal(tflite_rule(linear_layer_graph(13, 17, densities=None), rng), seed, images=3)


@given(st.integers(-(2**31) + 1, 2**31 - 1), st.integers(0, 2**31 - 1), st.integers(-31, 0))
@settings(max_examples=300, deadline=None)
def test_tflite_scale_equals_its_definition(value: int, multiplier: int, shift: int) -> None:
    from codegen.graph.arithmetic import _tflite_scale

    arrays = (np.array([number], np.int64) for number in (value, multiplier, shift))
    assert int(_tflite_scale(*arrays)[0]) == naive.tflite(value, multiplier, shift)


def test_exactness_bound_at_its_edge() -> None:
    """A layer whose sums pass 2**24 must not be computed in float32."""
    ones = np.full((1, 1, 1, 518), 127, np.int8)
    assert 518 * 127 * 255 < 2**24 and exact_dtype(ones) == np.float32
    more = np.full((1, 1, 1, 519), 127, np.int8)
    assert 519 * 127 * 255 >= 2**24 and exact_dtype(more) == np.float64


def test_extreme_sums_are_exact() -> None:
    graph = linear_layer_graph(4001, 3, densities=None, seed=5)
    op = graph.ops[0]
    assert isinstance(op, Linear)
    extreme = replace(op, weight=np.where(op.weight >= 0, 127, -127).astype(np.int8))
    graph = replace(graph, ops=(extreme,))
    images = np.where(extreme.weight >= 0, 127, -128).astype(np.int8)[:, None, None, :]
    for index, image in enumerate(images):
        got = reference.run_one(graph, images, 0)[index]
        assert np.array_equal(got, naive.run(graph, [image], 0)[graph.only_output.name])


def test_levels_are_nested() -> None:
    graph = conv_layer_graph(1, 1, 8, 16, (1, 1), group=2, densities=(0.2, 0.4, 0.9))
    op = graph.ops[0]
    assert isinstance(op, Conv2D)
    masks = [
        kept_weight(np.ones_like(op.weight), op.group_size, op.group_level, level) != 0
        for level in range(3)
    ]
    assert [round(float(mask.mean()), 1) for mask in masks] == [0.2, 0.4, 0.9]
    assert not (masks[0] & ~masks[1]).any() and not (masks[1] & ~masks[2]).any()


def test_batches_do_not_change_results(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = random_graph(4)
    images = random_images(graph, 7, 2)
    whole = reference.run_one(graph, images, 0)
    monkeypatch.setattr(reference, "BATCH", 3)
    assert np.array_equal(whole, reference.run_one(graph, images, 0))
    assert reference.run_one(graph, images[:0], 0).shape == (0, *whole.shape[1:])


def test_wrong_arguments() -> None:
    graph = random_graph(1)
    images = random_images(graph, 1, 0)
    for bad in (images.astype(np.uint8), images[0], images[:, :, :, :0]):
        with pytest.raises(UserError, match=r"input input: wrong type or shape.*Subtract 128"):
            reference.run_one(graph, bad, 0)
    for level in (-1, len(graph.levels)):
        with pytest.raises(UserError, match="no such level"):
            reference.run_one(graph, images, level)


def test_wrong_inputs_of_several_are_named() -> None:
    graph = random_graph(3, inputs=3, outputs=2)
    first, second, third = random_inputs(graph, 2, 0)
    with pytest.raises(UserError, match="wrong number of inputs; got 2, expected 3: input, input1"):
        reference.run(graph, (first, second), 0)
    with pytest.raises(UserError, match=r"input input2: wrong type or shape.*scale and zero point"):
        reference.run(graph, (first, second, third[:, :, :, :0]), 0)
    with pytest.raises(UserError, match=r"input input1: not as many samples.*got 1, expected 2"):
        reference.run(graph, (first, second[:1], third), 0)
    with pytest.raises(UserError, match=r"several inputs.*got input, input1, input2"):
        reference.run_one(graph, first, 0)
    with pytest.raises(UserError, match="several outputs"):
        reference.run_one(random_graph(3, outputs=2), first, 0)


def test_batches_of_several_inputs_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = random_graph(6, inputs=2, outputs=3)
    inputs = random_inputs(graph, 7, 2)
    whole = reference.run(graph, inputs, 0)
    monkeypatch.setattr(reference, "BATCH", 3)
    for got, expected in zip(reference.run(graph, inputs, 0), whole, strict=True):
        assert np.array_equal(got, expected) and len(got) == 7
