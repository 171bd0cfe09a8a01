"""Outputs that lie over inputs: how much RAM that saves, and that a wrong rule is noticed."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from codegen.graph import reference
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.synthetic import random_graph, random_images
from codegen.kernels import depthwise_conv, grouped_conv
from codegen.kernels.common import patches
from codegen.lower.lowering import lower
from codegen.program.call import Call
from codegen.program.draft import Overlap
from codegen.program.program import Program
from codegen.target.target import resolve
from tests.support.packed_machine import PackedMachine

SAME = (1, 1, 1, 1)


def distance(layer: Call, position: int = 0) -> int:
    """Return the bytes from a layer's output up to its input."""
    assert layer.inputs[position].place == layer.output.place == "arena"
    return layer.inputs[position].offset_bytes - layer.output.offset_bytes


def bytes_beside_scratch(packed: Program) -> list[int]:
    """Return the bytes that the values of each layer take, and that no other layer makes larger."""
    assert packed.arena_bytes == max(packed.peak_bytes)
    scratch = [layer.scratch.size_bytes if layer.scratch else 0 for layer in packed.layers]
    return [peak - each for peak, each in zip(packed.peak_bytes, scratch, strict=True)]


def residual_block() -> Graph:
    """Return two 3x3 convolutions, the second of which adds the first one's input."""
    net = GraphBuilder((8, 8, 3), 2, 0, "block")
    stem = net.conv("input", 16, (3, 3), padding=SAME)
    first = net.conv(stem, 16, (3, 3), padding=SAME, densities=(0.3, 0.6))
    net.conv(first, 16, (3, 3), padding=SAME, densities=(0.3, 0.6), residual=stem)
    net.linear(net.last, 3)
    return net.graph()


def test_a_residual_block_needs_two_maps() -> None:
    packed = lower(residual_block(), resolve("host"))
    layer = packed.layers[2]
    assert layer.scratch is not None
    assert packed.arena_bytes == 2 * 8 * 8 * 16 + layer.scratch.size_bytes
    assert distance(layer, 1) == 0 or distance(layer) >= -8 * 16


def test_a_growing_pointwise_layer_needs_its_output_only() -> None:
    net = GraphBuilder((8, 8, 8), 1, 0)
    net.conv("input", 8, (3, 3), padding=SAME)
    net.conv(net.last, 16, (1, 1), densities=(0.5,))
    net.pool(net.last, MaxPool, (2, 2), (2, 2))
    net.linear(net.last, 2)
    packed = lower(net.graph(), resolve("host"))
    assert bytes_beside_scratch(packed)[1:3] == [8 * 8 * 16, 8 * 8 * 16]


def test_depthwise_layers_and_sums_work_in_place() -> None:
    net = GraphBuilder((8, 8, 8), 1, 0)
    stem = net.conv("input", 8, (3, 3), padding=SAME)
    net.conv(stem, 8, (3, 3), padding=SAME, groups=8)
    net.conv(net.last, 8, (3, 3), padding=SAME, groups=8, stride=(2, 2))
    left = net.conv(net.last, 8, (1, 1))
    net.add(left, net.conv(left, 8, (1, 1)))
    net.softmax(net.linear(net.last, 3))
    packed = lower(net.graph(), resolve("host"))
    assert bytes_beside_scratch(packed)[:6] == [512, 512, 512, 128, 256, 256]


def test_a_value_read_later_stays_whole() -> None:
    net = GraphBuilder((4, 4, 4), 1, 0)
    stem = net.conv("input", 4, (1, 1))
    net.add(net.add(stem, net.conv(stem, 4, (1, 1))), stem)
    net.linear(net.last, 2)
    packed = lower(net.graph(), resolve("host"))
    (stem_buffer,) = {layer.inputs[0] for layer in packed.layers[1:2]}
    end = stem_buffer.offset_bytes + stem_buffer.size_bytes
    for layer in packed.layers[1:3]:
        begin = layer.output.offset_bytes
        assert begin >= end or begin + layer.output.size_bytes <= stem_buffer.offset_bytes
    last_read = packed.layers[3].inputs[1]
    assert (last_read.value, last_read.offset_bytes) == (stem, stem_buffer.offset_bytes)


def test_layers_of_cmsis_nn_share_nothing() -> None:
    net = GraphBuilder((8, 8, 8), 1, 0)
    for _ in range(3):
        net.conv(net.last, 8, (3, 3), padding=SAME)
    net.linear(net.last, 2)
    ours, theirs = (
        lower(net.graph(), resolve("host")),
        lower(net.graph(), resolve("host", kernels="cmsis-nn")),
    )
    assert bytes_beside_scratch(ours)[1] == 8 * 8 * 8
    assert bytes_beside_scratch(theirs)[1] == 2 * 8 * 8 * 8
    assert all(abs(distance(layer)) >= 8 * 8 * 8 for layer in theirs.layers[1:3])


def wrong_outputs(packed: Program, graph: Graph, seed: int) -> int:
    """Return how many elements the machine computes that the reference does not."""
    image = random_images(graph, 1, seed)
    got = PackedMachine(packed, seed).run(image[0], 0)
    return int(np.count_nonzero(got != reference.run_one(packed.graph, image, 0).reshape(-1)))


@pytest.mark.parametrize(
    ("user", "name"),
    [
        (patches, "patch_overlap"),
        (depthwise_conv, "depthwise_overlap"),
        (grouped_conv, "window_overlap"),
    ],
)
def test_the_machine_notices_a_wrong_rule(
    user: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules that allow too much by a few rows must not go unnoticed in all random networks."""
    right: Callable[..., Overlap] = getattr(user, name)

    def wrong(*args: object, **named: object) -> Overlap:
        return Overlap(right(*args, **named).lead_bytes - 97)

    monkeypatch.setattr(user, name, wrong)
    graphs = ((seed, random_graph(seed, blocks=7)) for seed in range(40, 240))
    assert any(wrong_outputs(lower(graph, resolve("host")), graph, seed) for seed, graph in graphs)
