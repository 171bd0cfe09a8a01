"""Handing dense layers to CMSIS-NN changes the rounding rule, by at most a step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codegen.graph import reference
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph, Requant, TfliteRequant
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.graph.synthetic import (
    conv_layer_graph,
    linear_layer_graph,
    random_graph,
    random_images,
)
from codegen.graph.verify import verify
from codegen.lower.lowering import lower
from codegen.passes.use_cmsis_nn import use_cmsis_nn
from codegen.target.target import resolve


def converted(graph: Graph) -> bool:
    """Return whether the graph's only op has the TFLite rule after the pass."""
    (op,) = verify(use_cmsis_nn(graph), "use_cmsis_nn").ops
    assert isinstance(op, Conv2D | Linear)
    return isinstance(op.requant, TfliteRequant)


def with_multiplier(graph: Graph, channel: int, values: list[int]) -> Graph:
    """Return ``graph`` with one channel's multipliers, one per level, replaced."""
    (op,) = graph.ops
    assert isinstance(op, Conv2D | Linear) and isinstance(op.requant, Requant)
    multiplier = op.requant.multiplier.copy()
    multiplier[:, channel] = values
    return replace(graph, ops=(replace(op, requant=replace(op.requant, multiplier=multiplier)),))


def largest_difference(graph: Graph) -> tuple[int, float]:
    """Return the largest difference in steps, and the share of outputs that differ."""
    images = random_images(graph, 8, 3)
    after = use_cmsis_nn(graph)
    differences = [
        np.abs(
            reference.run_one(graph, images, level).astype(int)
            - reference.run_one(after, images, level).astype(int)
        )
        for level in range(len(graph.levels))
    ]
    return int(np.max(differences)), float(np.mean(np.array(differences) > 0))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", ["conv", "depthwise", "multiplied depthwise", "linear"])
def test_layers_differ_by_at_most_one_step(kind: str, seed: int) -> None:
    arguments = {"densities": None, "levels": 3, "seed": seed}
    if kind == "linear":
        graph = linear_layer_graph(131, 17, **arguments)  # type: ignore[arg-type]
    else:
        groups = 1 if kind == "conv" else 7
        out_c = {"conv": 11, "depthwise": 7, "multiplied depthwise": 14}[kind]
        graph = conv_layer_graph(
            9,
            11,
            7,
            out_c,
            groups=groups,
            relu=seed % 2 == 0,
            **arguments,  # type: ignore[arg-type]
        )
    assert converted(graph)
    largest, share = largest_difference(graph)
    print(f"{kind} seed {seed}: {share:.4%} of outputs differ, at most {largest}")
    assert largest <= 1 and share < 0.05


def test_what_cmsis_nn_has_no_form_for_stays() -> None:
    assert not converted(conv_layer_graph(3, 5, 8, 8))
    assert not converted(conv_layer_graph(3, 5, 8, 8, densities=None, residual=True))
    assert not converted(conv_layer_graph(3, 5, 8, 8, densities=None, groups=4))
    dense = conv_layer_graph(3, 5, 8, 8, densities=None, levels=2)
    assert converted(dense)
    assert not converted(with_multiplier(dense, 3, [-5000, 5000]))
    assert not converted(with_multiplier(dense, 3, [0, 5000]))


def test_a_channel_without_gain_keeps_its_bias() -> None:
    graph = with_multiplier(
        conv_layer_graph(3, 5, 8, 8, densities=None, levels=2, relu=False), 3, [0, 0]
    )
    assert converted(graph)
    images = random_images(graph, 2, 0)
    channel = reference.run_one(use_cmsis_nn(graph), images, 1)[..., 3]
    assert len(np.unique(channel)) == 1
    assert largest_difference(graph)[0] <= 1


def test_negative_multipliers_move_into_the_weights() -> None:
    graph = with_multiplier(
        conv_layer_graph(3, 5, 8, 8, densities=None, levels=2), 2, [-4000, -5000]
    )
    assert converted(graph)
    before, after = graph.ops[0], use_cmsis_nn(graph).ops[0]
    assert isinstance(before, Conv2D) and isinstance(after, Conv2D)
    assert np.array_equal(after.weight[2], -before.weight[2])
    assert isinstance(after.requant, TfliteRequant) and after.requant.multiplier.min() > 0
    assert largest_difference(graph)[0] <= 1


def test_whole_networks_stay_close() -> None:
    """Steps accumulate over layers; on average they stay far below the signal."""
    for seed in range(20):
        builder = GraphBuilder((9, 7, 3), 2, seed)
        value = builder.conv("input", 8, (3, 3), padding=(1, 1, 1, 1))
        value = builder.conv(value, 8, (3, 3), groups=8)
        builder.linear(builder.conv(value, 5, (1, 1), group=4, densities=[0.5, 0.8]), 4)
        graph = builder.graph()
        images = random_images(graph, 16, seed)
        packed = lower(graph, resolve("host", kernels="cmsis-nn"))
        kernels = [layer.kernel for layer in packed.layers]
        assert kernels == ["cmsis_conv", "cmsis_depthwise_conv", "nested_conv", "cmsis_linear"]
        for level in range(2):
            before = reference.run_one(graph, images, level).astype(int)
            after = reference.run_one(packed.graph, images, level).astype(int)
            assert np.abs(before - after).mean() < 1.5


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_left_to_convert(seed: int) -> None:
    once = use_cmsis_nn(random_graph(seed))
    assert use_cmsis_nn(once).ops == once.ops
