"""Depthwise layers that lack whole channels at some levels, from the graph to the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from codegen.formats.entropy import layer_bytes, weight_bits
from codegen.graph import file as nestfile
from codegen.graph import reference
from codegen.graph.arithmetic import requantize
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import NEVER, Graph, Residual, TfliteRequant
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.synthetic import conv_layer_graph, random_images
from codegen.graph.verify import VerifyError, verify
from codegen.graph.weighted import accumulator_bound, effective_levels, kept_macs, level_weight
from codegen.lower.lowering import lower
from codegen.passes.skip_dead_channels import skip_dead_channels
from codegen.target.target import resolve
from tests.support import naive
from tests.support.channel_nets import channel_graph
from tests.support.packed_machine import PackedMachine


def layer_with(first: list[int], **options: Any) -> tuple[Graph, Conv2D]:
    """Return a 3x3 depthwise layer of three levels with these first levels, and its graph."""
    c = len(first)
    densities = (0.3, 0.6, 0.9)
    graph = conv_layer_graph(5, 7, c, c, groups=c, group=1, densities=densities, **options)
    (op,) = graph.ops
    assert isinstance(op, Conv2D)
    level = np.array(first, np.uint8)[:, None, None, None]
    weight = np.where(level == NEVER, 0, np.maximum(np.abs(op.weight), 1)).astype(np.int8)
    op = replace(op, weight=weight, group_level=level)
    return verify(replace(graph, ops=(op,))), op


def test_a_level_weighs_the_channels_it_has() -> None:
    _, op = layer_with([0, 2, 1, NEVER, 0])
    present = [[0, 4], [0, 2, 4], [0, 1, 2, 4]]
    for level, channels in enumerate(present):
        weight = level_weight(op, level)
        assert weight.any(axis=(1, 2, 3)).nonzero()[0].tolist() == channels
        assert np.array_equal(weight[channels], op.weight[channels])
        assert kept_macs(op, 35, level) == 9 * len(channels) * 35
        assert accumulator_bound(op, level, 128).nonzero()[0].tolist() == channels
    assert effective_levels(op) == {0, 1, 2}


def test_absent_channels_are_what_requantization_makes_of_0() -> None:
    graph, op = layer_with([0, 2, 1, NEVER, 0])
    images = random_images(graph, 2, 1)
    for level in range(3):
        output = reference.run_one(graph, images, level)
        idle = requantize(np.zeros((1, 1, 1, 5)), op.requant, level, 0, (op.act_min, op.act_max))
        for channel in np.flatnonzero(op.group_level.reshape(-1) > level):
            assert (output[..., channel] == idle[0, 0, 0, channel]).all()


def test_the_reference_equals_plain_loops() -> None:
    graph = channel_graph()
    (image,) = random_images(graph, 1, 2)
    for level in range(2):
        expected = naive.run(graph, [image], level)
        got = reference.run_values(graph, (image[None],), level)
        for name, array in expected.items():
            assert np.array_equal(got[name][0], array), f"level {level} value {name}"


def test_a_saved_graph_comes_back() -> None:
    graph = channel_graph()
    back = nestfile.from_bytes(nestfile.to_bytes(graph), "memory")
    for op, old in zip(back.ops, graph.ops, strict=True):
        level, expected = getattr(op, "group_level", None), getattr(old, "group_level", None)
        assert (level is None) == (expected is None)
        if level is not None and expected is not None:
            assert level.shape == expected.shape and np.array_equal(level, expected)
    assert nestfile.to_bytes(back) == nestfile.to_bytes(graph)


@pytest.mark.parametrize("seed", range(3))
def test_the_image_alone_gives_the_reference(seed: int) -> None:
    graph = channel_graph(seed)
    packed = lower(graph, resolve("host"))
    (image,) = random_images(graph, 1, seed)
    for level in range(2):
        got = PackedMachine(packed, seed).run(image, level)
        assert np.array_equal(got, reference.run_one(graph, image[None], level).reshape(-1))


def test_levels_cost_what_their_channels_do() -> None:
    graph, _ = layer_with([0, 0, 0, 0, 2, 2, 2, 2, 1, 2, 1, NEVER, 0])
    (layer,) = lower(graph, resolve("host")).layers
    field, alone = layer.members.get("channel_level"), layer.members.get("multiplier")
    assert field is not None and alone is not None and layer.members.get("bias_delta") is not None
    assert (field.c_type, field.dims, field.align_bytes) == ("uint8_t", (13,), 1)
    present = (5, 7, 12)
    assert [level.macs for level in layer.levels] == [9 * n * 35 for n in present]
    tables = [4 * 13 + 13, 4 * 13 + 13, 4 * 13]
    expected = [9 * n + 13 + more for n, more in zip(present, tables, strict=True)]
    assert [level.weight_bytes for level in layer.levels] == expected
    cycles = [level.cycles for level in layer.levels]
    assert 0.3 * cycles[2] < cycles[0] < 0.6 * cycles[2] and cycles[0] < cycles[1] < cycles[2]
    assert layer.stored_bytes == 9 * 13 + 13


def test_a_map_that_tells_nothing_is_not_stored() -> None:
    graph, op = layer_with([0] * 6)
    (layer,) = lower(graph, resolve("host")).layers
    (plain,) = lower(
        verify(replace(graph, ops=(replace(op, group_level=None),))), resolve("host")
    ).layers
    assert "channel_level" not in layer.members and "channel_level" not in plain.members
    assert layer.levels == plain.levels and layer.flash_bytes == plain.flash_bytes


def test_entropy_counts_channels_as_groups() -> None:
    _, op = layer_with([0, NEVER, 0, NEVER])
    bound = layer_bytes(op.weight, 1, op.group_level, 1)
    bits = weight_bits(op.weight[[0, 2]]) + np.log2(6)  # 2 of 4 channels
    assert bound == int(np.ceil(bits / 8))


def test_cmsis_nn_gets_no_layer_with_levels() -> None:
    graph, _ = layer_with([0, 1, 2, 0])
    (layer,) = lower(graph, resolve("host", kernels="cmsis-nn")).layers
    assert layer.kernel == "depthwise_conv"


GRAPH, OP = layer_with([0, 2, 1, NEVER, 0])
LEVEL = OP.group_level
TABLE = np.ones((3, 5), np.int32)
REFUSED: dict[str, Callable[[], Conv2D]] = {
    "group_level is uint8 of shape (5, 1, 1, 1)": lambda: replace(
        OP, group_level=np.zeros((5, 3, 3, 1), np.uint8)
    ),
    "group_level is below 3 or 255": lambda: replace(
        OP, group_level=np.where(LEVEL == 2, 3, LEVEL).astype(np.uint8)
    ),
    "group_size is 1 where channels have levels": lambda: replace(OP, group_size=4),
    "weights of groups no level keeps are zero": lambda: replace(
        OP, weight=np.ones_like(OP.weight)
    ),
    "no residual where channels have levels": lambda: replace(
        OP, residual=Residual("input", np.ones(3, np.int32))
    ),
    "the TFLite rule only on layers that CMSIS-NN computes": lambda: replace(
        OP, requant=TfliteRequant(TABLE, TABLE.astype(np.int8), TABLE)
    ),
}


@pytest.mark.parametrize("rule", REFUSED)
def test_other_forms_are_refused(rule: str) -> None:
    with pytest.raises(VerifyError) as error:
        verify(replace(GRAPH, ops=(REFUSED[rule](),)))
    assert rule in str(error.value)


@pytest.mark.parametrize(("in_c", "out_c", "groups"), [(6, 6, 3), (3, 6, 3)])
def test_layers_that_are_not_depthwise_are_refused(in_c: int, out_c: int, groups: int) -> None:
    graph = conv_layer_graph(5, 5, in_c, out_c, groups=groups, densities=None)
    (op,) = graph.ops
    assert isinstance(op, Conv2D)
    op = replace(op, group_level=np.zeros((out_c, 1, 1, 1), np.uint8))
    with pytest.raises(VerifyError, match="or on depthwise layers"):
        verify(replace(graph, ops=(op,)))


def silenced(graph: Graph, index: int, channels: list[int], first: int) -> Graph:
    """Return ``graph`` with channels of a depthwise layer dead before level ``first``."""
    op = graph.ops[index]
    assert isinstance(op, Conv2D) and op.group_level is not None
    level, bias, delta = (
        array.copy() for array in (op.group_level, op.requant.bias, op.requant.bias_delta)
    )
    level[channels] = first
    weight = np.where(level == NEVER, 0, op.weight).astype(np.int8)
    bits = op.requant.fraction_bits
    bias[channels] = (graph.value(op.output).zero_point << bits) + (1 << bits >> 1)
    delta[:, channels] = 0
    requant = replace(op.requant, bias=bias, bias_delta=delta)
    op = replace(op, weight=weight, group_level=level, requant=requant)
    return verify(replace(graph, ops=(*graph.ops[:index], op, *graph.ops[index + 1 :])))


def depthwise_chain(channels: int) -> Graph:
    """Return two depthwise layers and a linear one, three levels."""
    net = GraphBuilder((5, 7, channels), 3, 2, "chain")
    net.conv("input", channels, (1, 1))
    for _ in range(2):
        densities = (0.4, 0.7, 1.0)
        net.conv(net.last, channels, (3, 3), padding=(1,) * 4, groups=channels, densities=densities)
    net.linear(net.last, 3)
    return net.graph()


def after_pass(graph: Graph) -> Graph:
    """Return the graph without dead channels, its outputs compared."""
    after = verify(skip_dead_channels(graph), "skip_dead_channels")
    images = random_images(graph, 2, 4)
    for level in range(3):
        expected = reference.run_one(graph, images, level)
        assert np.array_equal(reference.run_one(after, images, level), expected), level
    return after


def test_a_channel_waits_for_its_input() -> None:
    graph = depthwise_chain(8)
    (second,) = graph.ops[2:3]
    assert isinstance(second, Conv2D) and second.group_level is not None
    after = after_pass(silenced(graph, 1, [1, 2], 2)).ops[2]
    assert isinstance(after, Conv2D)
    expected = second.group_level.copy()
    expected[[1, 2]] = 2
    assert np.array_equal(after.group_level, expected)


def test_a_channel_dead_at_all_levels_goes() -> None:
    graph = silenced(silenced(depthwise_chain(8), 1, [0, 3, 4, 6], NEVER), 2, [0, 3, 4, 6], NEVER)
    after = after_pass(graph)
    waited = np.zeros((4, 1, 1, 1), np.uint8)
    for op, old in zip(after.ops[1:3], graph.ops[1:3], strict=True):
        assert isinstance(op, Conv2D) and isinstance(old, Conv2D)
        assert op.groups == 4 and op.weight.shape == (4, 3, 3, 1)
        own = old.group_level[[1, 2, 5, 7]]
        assert ((own <= op.group_level) & (op.group_level <= np.maximum(own, waited))).all()
        waited = own


def test_the_last_channel_becomes_a_nested_layer() -> None:
    graph = silenced(silenced(depthwise_chain(3), 1, [0, 2], NEVER), 2, [0, 2], NEVER)
    after = after_pass(graph)
    for op, old in zip(after.ops[1:3], graph.ops[1:3], strict=True):
        assert isinstance(op, Conv2D) and isinstance(old, Conv2D)
        assert op.groups == 1 and op.group_level.shape == (1, 3, 3, 1)
        assert (op.group_level == old.group_level[1, 0, 0, 0]).all()
