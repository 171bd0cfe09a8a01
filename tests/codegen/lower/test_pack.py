"""A packed network holds everything: running it from image and arena equals the reference."""

from __future__ import annotations

import re
import zlib
from dataclasses import replace
from itertools import combinations, pairwise
from math import prod

import numpy as np
import pytest

from codegen import kernels
from codegen.errors import UserError
from codegen.graph import reference
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.graph.ops.matmul import Matmul
from codegen.graph.synthetic import (
    conv_layer_graph,
    linear_layer_graph,
    random_graph,
    random_images,
)
from codegen.graph.weighted import level_weight
from codegen.kernels.nested_conv import row_tiles
from codegen.lower.lowering import lower
from codegen.program.call import Buffer, Call
from codegen.program.program import Program
from codegen.target.target import resolve
from tests.support.packed_machine import PackedMachine, weighted


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("kernels", ["nestnet", "cmsis-nn"])
def test_running_from_flash_and_arena_equals_the_reference(seed: int, kernels: str) -> None:
    graph = random_graph(seed)
    packed = lower(graph, resolve("host", kernels=kernels))
    images = random_images(graph, 2, seed)
    machine = PackedMachine(packed, seed)
    for level in range(len(graph.levels)):
        expected = reference.run_one(packed.graph, images, level)
        for image, output in zip(images, expected, strict=True):
            assert np.array_equal(machine.run(image, level), output.reshape(-1))
    if kernels == "nestnet":
        assert np.array_equal(expected, reference.run_one(graph, images, level))


@pytest.mark.parametrize("name", ["class", "1x1 naïve/*", "é" * 9, "a.b-c", "deep." * 60 + "conv"])
def test_any_layer_name_gives_a_c_name(name: str) -> None:
    net = GraphBuilder((3, 3, 2), 1, 0, "names")
    net.linear(net.conv("input", 3, (2, 2)), 2)
    graph = net.graph()
    graph = replace(graph, ops=tuple(replace(op, name=f"{name} {op.name}") for op in graph.ops))
    names = [layer.c_name for layer in lower(graph, resolve("host")).layers]
    assert len(set(names)) == len(graph.ops)
    assert all(re.fullmatch(r"layer_\d\d_[a-z0-9_]{1,40}", c_name) for c_name in names), names


@pytest.mark.parametrize("seed", range(40))
def test_the_image_is_one_struct_without_padding(seed: int) -> None:
    packed = lower(random_graph(seed), resolve("host"))
    offset, align = 0, 4
    for field in packed.image:
        assert field.offset_bytes == offset and offset % field.align_bytes == 0
        assert field.align_bytes <= align and field.array.size
        size = {"int32_t": 4, "int16_t": 2, "uint16_t": 2, "int8_t": 1, "uint8_t": 1}[field.c_type]
        assert field.size_bytes == size * np.prod(field.dims) and size <= field.align_bytes
        assert re.fullmatch(r"layer_\d\d_[a-z0-9_]+", field.name)
        offset, align = offset + field.size_bytes, field.align_bytes
    assert len({field.name for field in packed.image}) == len(packed.image)
    assert len(packed.image_bytes) == offset + packed.pad_bytes and packed.pad_bytes < 4
    assert len(packed.image_bytes) % 4 == 0 and packed.crc32 == zlib.crc32(packed.image_bytes)
    assert sum(layer.flash_bytes for layer in packed.layers) == offset
    assert lower(random_graph(seed), resolve("host")).image_bytes == packed.image_bytes


@pytest.mark.parametrize("seed", range(40))
def test_level_costs(seed: int) -> None:
    """MACs count kept weights; the densest level reads all flash but lower levels' tables."""
    packed = lower(random_graph(seed), resolve("host"))
    last = len(packed.levels) - 1
    for layer in packed.layers:
        op = weighted(layer.op)
        costs = layer.levels
        for sparse, dense in pairwise(costs):
            assert sparse.macs <= dense.macs and sparse.cycles <= dense.cycles
        if isinstance(op, Matmul):
            depths = {divmod(cost.macs, prod(layer.out_shape)) for cost in costs}
            assert len(depths) == 1 and all(depth > 0 == rest for depth, rest in depths)
            continue
        if not isinstance(op, Conv2D | Linear):
            assert costs[0].macs == 0
            continue
        other_tables = 0
        if layer.members.get("multiplier") is not None:
            other_tables += layer.members.get("multiplier").size_bytes * last // (last + 1)
        if layer.members.get("bias_delta") is not None:
            other_tables += layer.members.get("bias_delta").size_bytes
        if layer.members.get("residual_multiplier") is not None:
            other_tables += 4 * last
        assert costs[last].weight_bytes == layer.flash_bytes - other_tables
        positions = layer.out_shape[0] * layer.out_shape[1]
        for level, cost in enumerate(costs):
            kept = int(np.count_nonzero(level_weight(op, level)))
            assert cost.macs >= kept * positions
            assert cost.macs <= kept * positions * 1.2 + 40 * positions
    for level, total in enumerate(packed.levels):
        assert total.cost.macs == sum(layer.levels[level].macs for layer in packed.layers)


def only_layer(graph: Graph) -> Call:
    """Return the one layer of a lowered single-layer graph."""
    (layer,) = lower(graph, resolve("host")).layers
    return layer


def test_scratch_follows_the_sliding_patch_buffer() -> None:
    cases = {
        (7, 5, 3, 4): ((5 - 1) * 1 + 3) * 3 * 4 + 6 * 1 * 4 + 4,
        (7, 5, 5, 2): ((5 - 1) * 1 + 3) * 3 * 6 + 6 * 1 * 6 + 4,
        (7, 5, 3, 1): ((5 - 1) * 1 + 3) * 3 * 3 + 6 * 1 * 3 + 4,
    }
    for (height, width, in_c, group), elements in cases.items():
        layer = only_layer(conv_layer_graph(height, width, in_c, 8, group=group))
        assert layer.kernel == "nested_conv" and layer.scratch is not None
        channels = 8 * layer.out_shape[2]  # an nn_channel each, before the patches
        assert layer.scratch.size_bytes == channels + -(-2 * elements // 8) * 8
    dense = only_layer(conv_layer_graph(7, 5, 3, 8, (1, 2), stride=(1, 2), densities=None))
    out_w = dense.out_shape[1]
    assert dense.kernel == "dense_conv" and dense.scratch is not None
    assert dense.scratch.size_bytes == -(-2 * (((out_w - 1) * 2 + 2) * 3 + 4) // 8) * 8
    linear = only_layer(linear_layer_graph(37, 3))
    assert linear.kernel == "nested_linear" and linear.scratch is not None
    assert linear.scratch.size_bytes == 80


@pytest.mark.parametrize(
    ("width", "group", "tile", "row"),
    [
        (16, 4, 6, (6, 6, 4)),
        (6, 4, 6, (6,)),
        (5, 4, 5, (5,)),
        (3, 4, 3, (3,)),
        (1, 4, 1, (1,)),
        (5, 2, 5, (5,)),
        (16, 2, 6, (6, 6, 4)),
        (16, 1, 8, (8, 8)),
    ],
)
def test_tiles_cover_the_row_once(width: int, group: int, tile: int, row: tuple[int, ...]) -> None:
    layer = only_layer(conv_layer_graph(5, width, 8, 8, group=group))
    assert layer.args.tile == tile
    assert row_tiles(tile, width) == row and sum(row) == width


def test_kernel_choice() -> None:
    def kernel(**arguments: object) -> str:
        return only_layer(conv_layer_graph(5, 5, 8, 8, **arguments)).kernel  # type: ignore[arg-type]

    assert kernel() == "nested_conv"
    assert kernel(densities=None) == "dense_conv"
    assert kernel(densities=None, groups=8) == "depthwise_conv"
    assert kernel(densities=None, groups=4) == "grouped_conv"
    assert kernel(densities=None, groups=8, residual=True) == "grouped_conv"
    assert kernel(densities=(0.99,)) == "dense_conv", "one dense weight set costs less stored so"
    assert kernel(densities=(0.3,)) == "nested_conv"
    assert kernel(densities=(0.99, 0.99)) == "dense_conv", "equal levels are one weight set"
    assert kernel(densities=(0.98, 1.0)) == "nested_conv", "dense cannot hold two levels"
    reason = only_layer(conv_layer_graph(5, 5, 8, 8, densities=(0.99,))).reason
    assert "dense 576 bytes" in reason and "next nested" in reason and "modelled cycles" in reason


def test_tables_of_resnet_size_stay_small() -> None:
    """At 4 levels a channel's tables take 4 bytes and 3 for each level below the densest."""
    packed = lower(conv_layer_graph(8, 8, 64, 64, densities=(0.1, 0.2, 0.3, 0.5)), resolve("host"))
    members = packed.layers[0].members
    tables = sum(members[role].size_bytes for role in ("multiplier", "bias", "bias_delta"))
    assert tables == 64 * 13
    assert tables < 0.1 * (len(packed.image_bytes) - tables)


def shares_bytes(first: Buffer | None, second: Buffer | None) -> bool:
    """Return whether two buffers have an arena byte in common."""
    if first is None or second is None or not first.place == second.place == "arena":
        return False
    return (
        first.offset_bytes < second.offset_bytes + second.size_bytes
        and second.offset_bytes < first.offset_bytes + first.size_bytes
    )


def assert_only_outputs_share(packed: Program) -> None:
    """Assert that a layer's buffers are apart, except its output and its inputs."""
    for layer in packed.layers:
        apart = (*layer.inputs, layer.scratch, layer.decoded)
        for first, second in combinations(apart, 2):
            assert first == second or not shares_bytes(first, second)
        for buffer in (layer.scratch, layer.decoded):
            assert not shares_bytes(buffer, layer.output)
        if layer.kernel.startswith("cmsis"):
            assert not any(shares_bytes(buffer, layer.output) for buffer in layer.inputs)


@pytest.mark.parametrize("seed", range(40))
def test_arena_is_near_its_lower_bound(seed: int) -> None:
    packed = lower(random_graph(seed, blocks=7), resolve("host"))
    assert_only_outputs_share(packed)
    assert_only_outputs_share(
        lower(random_graph(seed, blocks=7), resolve("host", kernels="cmsis-nn"))
    )
    assert max(packed.peak_bytes) <= packed.arena_bytes <= 1.35 * max(packed.peak_bytes)


def test_a_network_of_reshapes_is_refused() -> None:
    builder = GraphBuilder((2, 3, 1), 1, 0)
    builder.reshape("input", (1, 1, 6))
    with pytest.raises(UserError, match="no input, no view of one"):
        lower(builder.graph(), resolve("host"))


def test_unknown_kernels_are_refused() -> None:
    with pytest.raises(UserError, match=r"nestnet or cmsis-nn"):
        lower(conv_layer_graph(3, 3, 1, 1), resolve("host", kernels="fast"))


def test_reshaped_input_and_output_use_the_callers_buffers() -> None:
    builder = GraphBuilder((2, 2, 3), 1, 0)
    flat = builder.reshape("input", (1, 4, 3))
    value = builder.conv(flat, 2, (1, 3))
    builder.reshape(value, (2, 1, 2))
    packed = lower(builder.graph(), resolve("host"))
    (layer,) = packed.layers
    assert (layer.inputs[0].place, layer.output.place) == ("input", "output")


def test_an_operator_that_no_kernel_takes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "candidates", lambda *_: iter(()))
    with pytest.raises(UserError, match="no kernel computes it; got Conv2D"):
        lower(conv_layer_graph(5, 7, 3, 2, densities=None, levels=1), resolve("host"))
