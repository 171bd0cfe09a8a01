"""What lowering.lower stores coded: the same bits, the bytes that sizing says, no larger arena."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from codegen.errors import UserError
from codegen.formats import storage
from codegen.formats.codecs import BY_NAME
from codegen.formats.storage import decoding_bytes
from codegen.graph import reference
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.graph.synthetic import (
    conv_layer_graph,
    linear_layer_graph,
    random_graph,
    random_images,
)
from codegen.kernels.common.storage import as_patches
from codegen.lower.lowering import lower
from codegen.lower.storage_choice import BALANCED_SHARE
from codegen.program.call import Call
from codegen.program.program import Program
from codegen.target.target import resolve
from tests.support.packed_machine import PackedMachine, weighted


@pytest.mark.parametrize("decode", ["inference", "level"])
@pytest.mark.parametrize("codecs", ["all", "lz4"])
@pytest.mark.parametrize("seed", range(12))
def test_decoded_weights_give_the_same_bits(seed: int, codecs: str, decode: str) -> None:
    """At every level, entered from a denser and from a sparser one."""
    graph = random_graph(seed)
    packed = lower(graph, resolve("host", optimize="size", codecs=codecs, decode=decode))
    machine = PackedMachine(packed, seed)
    (image,) = random_images(graph, 1, seed)
    levels = range(len(graph.levels))
    for level in (*levels, *reversed(levels)):
        expected = reference.run_one(packed.graph, image[None], level)[0]
        assert np.array_equal(machine.run(image, level), expected.reshape(-1))


def test_what_is_drawn_is_coded() -> None:
    target = resolve("host", optimize="size")
    coded = [lower(random_graph(seed), target).has_coded_streams for seed in range(12)]
    assert sum(coded) > 8


@pytest.mark.parametrize("codecs", ["all", "lz4", "raw"])
@pytest.mark.parametrize("seed", range(20))
def test_sizing_says_what_is_stored_for_size(seed: int, codecs: str) -> None:
    packed = lower(random_graph(seed), resolve("host", optimize="size", codecs=codecs))
    levels = len(packed.levels)
    for layer in packed.layers:
        op = weighted(layer.op)
        if not isinstance(op, Conv2D | Linear):
            continue
        weight, group_level = as_patches(op)
        is_conv = isinstance(op, Conv2D)
        sized = storage.layer_bytes(
            weight,
            op.group_size,
            group_level,
            levels,
            codecs,
            stride=op.stride if is_conv else (1, 1),
            groups=op.groups if is_conv else 1,
        )
        assert layer.stored_bytes == sized.stored_bytes
        if sized.storage != layer.storage:
            assert "dense" in (sized.storage + layer.storage), "forms tie, a codec never does"
        has_residual = is_conv and op.residual is not None
        tables = storage.table_bytes(op.weight.shape[0], levels, has_residual)
        assert layer.flash_bytes == sized.stored_bytes + tables


def flash_bytes(packed: Program) -> int:
    """Return the flash of the weights and of what decodes them."""
    total, used = len(packed.image_bytes) - packed.pad_bytes, set()
    for layer in packed.layers:
        coded = [member.coded.codec for member in layer.all_members() if member.coded is not None]
        used.update(coded)
        total += decoding_bytes(len(coded))
    return total + sum(BY_NAME[codec].decoder_bytes for codec in used)


@pytest.mark.parametrize("decode", ["inference", "level"])
@pytest.mark.parametrize("optimize", ["balanced", "speed"])
@pytest.mark.parametrize("seed", range(20))
def test_coding_by_default_costs_no_memory(seed: int, optimize: str, decode: str) -> None:
    graph = random_graph(seed, blocks=7, largest=19)
    coded = lower(graph, resolve("host", optimize=optimize, decode=decode))
    raw = lower(graph, resolve("host", optimize=optimize, codecs="raw"))
    assert coded.arena_bytes <= raw.arena_bytes
    assert flash_bytes(coded) <= flash_bytes(raw)


@cache
def worth_coding() -> Graph:
    """Return a network whose last layer's positions are half of its bytes.

    Its map is large enough to hide their decoding, and an earlier layer's needs a larger arena.
    """
    builder = GraphBuilder((31, 37, 3), 4, 0)
    value = builder.conv("input", 61, (1, 1))
    value = builder.conv(value, 19, (1, 1))
    builder.conv(value, 29, (3, 3), group=1, densities=(0.1, 0.2, 0.3, 0.5))
    return builder.graph()


def last_layer(graph: Graph, **options: str) -> Call:
    return lower(graph, resolve("host", **options)).layers[-1]


def test_balanced_codes_what_hardly_costs_time() -> None:
    layer = last_layer(worth_coding())
    fastest = last_layer(worth_coding(), codecs="raw")
    assert layer.storage == "nested, positions deltas"
    assert layer.stored_bytes < 0.8 * layer.execution_bytes
    assert layer.execution_bytes == fastest.stored_bytes
    cycles, least = layer.levels[-1].cycles, fastest.levels[-1].cycles
    assert least < cycles <= (1 + BALANCED_SHARE) * least
    assert "nested, positions deltas" in layer.reason and "; next nested" in layer.reason
    assert str(layer.stored_bytes) in layer.reason and "modelled cycles" in layer.reason
    decoded = [stream.positions.coded for stream in layer.streams]
    assert layer.decoded is not None and None not in decoded
    assert layer.decoded.size_bytes == sum(how.decoded_bytes for how in decoded if how)


def test_balanced_codes_nothing_where_decoding_takes_longer_than_the_layer() -> None:
    graph = linear_layer_graph(1021, 97)
    assert last_layer(graph).storage == "nested"
    assert last_layer(graph, optimize="size").storage == "nested, positions deltas"


def test_speed_never_decodes() -> None:
    assert last_layer(worth_coding(), optimize="speed").storage == "nested"
    assert last_layer(worth_coding(), optimize="speed", decode="level").storage == "nested"


def test_one_weight_set_is_dense_and_coded_where_that_is_smallest() -> None:
    """Kept weights of few values: LZ4 finds repeats in the dense rows, zeros included."""
    graph = conv_layer_graph(5, 7, 13, 11, densities=None, levels=2)
    (op,) = graph.ops
    assert isinstance(op, Conv2D)
    op.weight[...] = np.where(np.arange(op.weight.size).reshape(op.weight.shape) % 7, 0, 3)
    layer = last_layer(graph, optimize="size")
    assert layer.storage == "dense, weights lz4" and layer.kernel == "dense_conv"
    stored = layer.members["weights"]
    how = stored.coded
    assert how is not None and layer.decoded is not None
    assert (how.codec, how.offset_bytes, stored.align_bytes) == ("lz4", 0, 1)
    assert stored.size_bytes < how.decoded_bytes == layer.decoded.size_bytes
    assert last_layer(graph, optimize="size", codecs="raw").storage == "dense"


def test_areas_last_as_long_as_decode_says() -> None:
    net = GraphBuilder((9, 9, 8), 3, 0)
    for _ in range(3):
        net.conv(net.last, 16, (3, 3), padding=(1, 1, 1, 1), group=4, densities=(0.1, 0.2, 0.3))
    graph = net.graph()
    for decode in ("inference", "level"):
        packed = lower(graph, resolve("host", optimize="size", decode=decode))
        areas = [layer.decoded for layer in packed.layers if layer.decoded is not None]
        assert len(areas) > 1
        spans = sorted((area.offset_bytes, area.offset_bytes + area.size_bytes) for area in areas)
        shared = any(end > begin for (_, end), (begin, _) in pairwise(spans))
        assert shared == (decode == "inference")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"optimize": "fast"}, "--optimize: unknown optimize; got fast, expected balanced or"),
        ({"codecs": "zip"}, "--codecs: unknown codecs; got zip, expected all or lz4 or raw"),
        ({"decode": "never"}, "--decode: unknown decode; got never, expected inference or level"),
    ],
)
def test_unknown_words_are_refused(option: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        lower(conv_layer_graph(3, 3, 1, 1), resolve("host", **option))
