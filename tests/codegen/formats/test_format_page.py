"""What nestnet writes is what docs/format.md says: a decoder written from the page reads it all."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Iterator

import numpy as np
import pytest

from codegen.emit import render
from codegen.errors import UserError
from codegen.formats.codecs import deltas, lz4
from codegen.graph import file as nestfile
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import SCHEMA_VERSION, Graph, Op, Requant, TfliteRequant
from codegen.graph.ops.add import Add
from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.graph.ops.lookup import Lookup
from codegen.graph.ops.matmul import Matmul
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.ops.mul import Mul
from codegen.graph.ops.normalize import Normalize
from codegen.graph.ops.softmax import Softmax
from codegen.graph.serialize import encode
from codegen.graph.synthetic import conv_layer_graph, linear_layer_graph, random_graph
from codegen.lower import lowering
from codegen.program.program import Program
from codegen.target.target import resolve
from tests.support import format_page as page
from tests.support.channel_nets import channel_graph
from tests.support.commands import ROOT
from tests.support.format_page import FormatError, Int8Array, Patch
from tests.support.format_project import (
    MEMBER_ORDER,
    Member,
    image_bytes,
    image_members,
    page_order,
)
from tests.support.format_project import layer_weights as read_layer

PAGE = ROOT / "docs/format.md"
Fields = dict[str, str]


def examples() -> Iterator[tuple[str, dict[str, int], Fields]]:
    """Yield every example of the page: kind, numbers, fields."""
    text = PAGE.read_text(encoding="utf-8")
    for head, body in re.findall(r"^    example: (.*)\n((?:    .*\n)+)", text, re.M):
        kind, *parts = head.split(", ")
        numbers = {part.split(" ")[0]: int(part.split(" ")[1]) for part in parts}
        fields: Fields = {}
        for line in body.splitlines():
            name, _, value = line.strip().partition(" ")
            if kind == "safetensors" and name in ("text", "bytes"):
                data = value.strip().encode() if name == "text" else bytes.fromhex(value)
                fields["file"] = fields.get("file", "") + data.hex()
            else:
                fields[name] = value.strip()
        yield kind, numbers, fields


def pairs(text: str) -> list[tuple[int, ...]]:
    return [tuple(int(number) for number in item.split(",")) for item in text.split()]


def example_nested(numbers: dict[str, int], fields: Fields) -> None:
    patch = Patch(numbers["out_c"], 1, 1, numbers["in_c"])
    added = page.nested_level(
        bytes.fromhex(fields["positions"]), bytes.fromhex(fields["weights"]), patch, numbers["G"]
    )
    expected = np.zeros_like(added)
    for row, channel, weight in pairs(fields["adds"]):
        expected[row, 0, 0, channel] = weight
    assert np.array_equal(added, expected)


def example_lz4(numbers: dict[str, int], fields: Fields) -> None:
    decoded = bytes.fromhex(fields["decoded"])
    stored = bytes.fromhex(fields["stored"])
    assert page.lz4_block(stored, len(decoded)) == decoded
    assert lz4.encode(decoded) == stored


def example_deltas(numbers: dict[str, int], fields: Fields) -> None:
    stored = bytes.fromhex(fields["stored"])
    present = page.deltas_presence(stored, numbers["out_c"], numbers["count"])
    found = [(row, at) for row, positions in enumerate(present) for at in positions]
    assert found == pairs(fields["present"])
    positions = page.position_bytes(present, numbers["G"])
    assert positions == bytes.fromhex(fields["positions"])
    flags = np.zeros((numbers["out_c"], numbers["count"]), np.bool_)
    for row, at in found:
        flags[row, at] = True
    assert deltas.encode(flags) == stored


def example_dense(numbers: dict[str, int], fields: Fields) -> None:
    patch = Patch(numbers["out_c"], numbers["kernel_h"], numbers["kernel_w"], numbers["in_c"])
    stride = (numbers["stride_h"], numbers["stride_w"])
    weights = page.dense_rows(bytes.fromhex(fields["rows"]), patch, stride)
    assert weights.reshape(-1).tolist() == [int(item) for item in fields["weights"].split()]


def example_crc(numbers: dict[str, int], fields: Fields) -> None:
    assert f"{zlib.crc32(bytes.fromhex(fields['bytes'])):08x}" == fields["crc32"]


def example_safetensors(numbers: dict[str, int], fields: Fields) -> None:
    _, tensors = page.safetensors(bytes.fromhex(fields["file"]))
    assert list(tensors) == ["t"]
    assert tensors["t"].tolist() == [int(item) for item in fields["t"].split()]


CHECKS = {
    "nested": example_nested,
    "lz4": example_lz4,
    "deltas": example_deltas,
    "dense": example_dense,
    "crc": example_crc,
    "safetensors": example_safetensors,
}


@pytest.mark.parametrize("kind", CHECKS)
def test_the_examples_of_the_page(kind: str) -> None:
    found = [entry for entry in examples() if entry[0] == kind]
    assert found and {entry[0] for entry in examples()} == set(CHECKS)
    for _, numbers, fields in found:
        CHECKS[kind](numbers, fields)


def digits_like() -> Graph:
    """Return a network of the shape of digits_cnn, pruned in all three group sizes."""
    net = GraphBuilder((8, 8, 1), 4, 5, "digits_like")
    value = net.conv("input", 16, (3, 3), padding=(1, 1, 1, 1))
    densities = (0.04, 0.1, 0.2, 0.5)
    value = net.conv(value, 24, (3, 3), padding=(1, 1, 1, 1), group=4, densities=densities)
    value = net.pool(value, MaxPool, (2, 2), (2, 2))
    value = net.conv(value, 24, (3, 3), padding=(1, 1, 1, 1), group=2, densities=densities)
    value = net.conv(value, 12, (3, 3), padding=(1, 1, 1, 1), group=1, densities=densities)
    value = net.pool(value, AvgPool, (4, 4), (1, 1))
    net.softmax(net.linear(value, 10))
    return net.graph()


def odd_shapes() -> Graph:
    """Return depthwise, grouped and strided layers on prime extents."""
    net = GraphBuilder((7, 11, 3), 3, 9, "odd_shapes")
    value = net.conv("input", 5, (3, 2), stride=(2, 1), padding=(1, 0, 1, 1))
    value = net.conv(value, 10, (3, 3), padding=(1, 1, 1, 1), groups=5)
    value = net.conv(value, 15, (1, 3), padding=(0, 1, 0, 1), groups=5)
    value = net.conv(value, 15, (3, 1), padding=(1, 0, 1, 0), groups=15)
    same = net.conv(value, 15, (1, 1), group=2, densities=(0.1, 0.1, 0.4))
    value = net.conv(value, 15, (3, 3), padding=(1, 1, 1, 1), residual=same)
    value = net.normalize(net.mul(net.add(value, same), same), (1, 15), center=True)
    value = net.softmax(net.matmul(value, value), (256, 300, 511))
    value = net.mul(net.add(value, net.shape(value)), (1, 1, net.shape(value)[2]))
    net.linear(net.linear(value, 13, group=4, densities=(0.02, 0.05, 0.3)), 7)
    return net.graph()


def test_levels_of_channels_come_back() -> None:
    assert "depthwise_conv 1 plain" in check_project(channel_graph(), "balanced", "all")


def project_texts(packed: Program) -> dict[str, str]:
    files = render.project_files(packed, None, "0" * 64, render.RuntimeFiles((), ()), "none")
    return {str(name): text for name, text in files.items()}


def expected_weights(op: Conv2D | Linear, level: int) -> Int8Array:
    """Return what the graph says ``op`` weighs at ``level``."""
    if op.group_level is None:
        return op.weight
    keep = np.repeat(op.group_level <= level, op.group_size, axis=-1)
    return np.where(keep[..., : op.weight.shape[-1]], op.weight, np.int8(0))


def expected_tables(op: Op) -> dict[str, np.ndarray]:
    match op:
        case Add():
            return {"add_multiplier": op.multiplier, "add_offset": op.offset} | constant(op)
        case Lookup():
            return {"lookup": op.table} if len(op.table) > 1 else {"shared_lookup": op.table[0]}
        case Matmul():
            return {"matmul_multiplier": op.multiplier}
        case Mul():
            return {"mul_multiplier": op.multiplier, "mul_offset": op.offset} | constant(op)
        case Normalize():
            return {"normalize": op.table}
        case Softmax():
            own = {"softmax_gain": np.array(op.gain, np.int32)} if len(set(op.gain)) > 1 else {}
            return own | {"table": op.table}
    return requant_tables(op) if isinstance(op, Conv2D | Linear) else {}


def constant(op: Add | Mul) -> dict[str, np.ndarray]:
    return {} if op.constant is None else {"constant": op.constant.reshape(-1)}


def requant_tables(op: Conv2D | Linear) -> dict[str, np.ndarray]:
    requant = op.requant
    if isinstance(requant, TfliteRequant):
        return {"multiplier": requant.multiplier, "shift": requant.shift, "bias": requant.bias}
    assert isinstance(requant, Requant)
    tables: dict[str, np.ndarray] = {"multiplier": requant.multiplier, "bias": requant.bias}
    if len(requant.bias_delta) > 1:
        tables["bias_delta"] = requant.bias_delta[:-1]
    if isinstance(op, Conv2D) and op.groups != 1 and op.group_level is not None:
        tables["channel_level"] = op.group_level.reshape(-1)
    if isinstance(op, Conv2D) and op.residual is not None:
        tables["residual_multiplier"] = op.residual.multiplier
    return tables


def check_project(graph: Graph, optimize: str, codecs: str, kernels: str = "nestnet") -> set[str]:
    """Compare all weights and tables in the generated C with the graph; return the storages."""
    packed = lowering.lower(
        graph, resolve("host", optimize=optimize, codecs=codecs, kernels=kernels)
    )
    texts = project_texts(packed)
    model_c = texts["library/model.c"]
    image = image_bytes(texts["library/weights.h"], texts["library/weights.c"])
    crc32 = re.search(r"\.weights_crc32 = 0x([0-9a-f]{8})u,", model_c)
    assert crc32 is not None and image == packed.image_bytes
    members = image_members(texts["library/weights.h"], image, int(crc32[1], 16))
    assert page_order(model_c, members) == list(members)
    storages = set()
    for layer in packed.layers:
        weights = read_layer(layer.c_name, model_c, members, len(graph.levels))
        assert (weights is not None) == isinstance(layer.op, Conv2D | Linear)
        tables = expected_tables(layer.op)
        assert set(tables) == set(layer.members) - {"weights"}
        for role, table in tables.items():
            assert np.array_equal(members[f"{layer.c_name}_{role}"].numbers, table)
        if weights is None or not isinstance(layer.op, Conv2D | Linear):
            continue
        storages.add(f"{layer.kernel} {getattr(layer.args, 'group', 1)} {layer.storage}")
        for level, found in enumerate(weights):
            expected = expected_weights(layer.op, level)
            where = f"{graph.name} {layer.name} level {level}: {layer.storage}"
            assert np.array_equal(found.reshape(expected.shape), expected), where
    return storages


CODINGS = [("size", "all"), ("size", "lz4"), ("size", "raw"), ("balanced", "all")]


@pytest.mark.parametrize(("optimize", "codecs"), CODINGS)
@pytest.mark.parametrize("make", [digits_like, odd_shapes])
def test_networks_come_back(make: object, optimize: str, codecs: str) -> None:
    assert callable(make)
    storages = check_project(make(), optimize, codecs)
    assert len(storages) > 3


def test_every_kind_of_stream_comes_back() -> None:
    storages: set[str] = set()
    for group in (1, 2, 4):
        for densities in ((0.01, 0.02, 0.5), (0.0, 0.3)):
            for optimize, codecs in (("size", "all"), ("size", "lz4"), ("size", "raw")):
                net = conv_layer_graph(
                    3, 2, 37, 5, (3, 5), group=group, densities=densities, seed=group
                )
                storages |= check_project(net, optimize, codecs)
                line = linear_layer_graph(1009, 3, group=group, densities=densities, seed=group)
                storages |= check_project(line, optimize, codecs)
    for group in (1, 2, 4):
        for kernel in ("nested_conv", "nested_linear"):
            for streams in ("nested", "nested, positions deltas", "nested, positions lz4"):
                assert f"{kernel} {group} {streams}" in storages


def repetitive(graph: Graph) -> Graph:
    """Return a one-layer ``graph`` with one weight everywhere, which LZ4 compresses."""
    (op,) = graph.ops
    assert isinstance(op, Conv2D | Linear)
    op.weight[op.weight != 0] = 3
    return graph


def test_coded_weights_come_back() -> None:
    storages: set[str] = set()
    for group in (1, 2, 4):
        net = conv_layer_graph(3, 2, 37, 5, (3, 5), group=group, densities=(0.1, 0.5))
        storages |= check_project(repetitive(net), "size", "lz4")
        storages |= check_project(repetitive(net), "size", "all")
    storages |= check_project(
        repetitive(conv_layer_graph(5, 7, 13, 11, (3, 3), densities=None)), "size", "lz4"
    )
    storages |= check_project(repetitive(linear_layer_graph(331, 7, densities=None)), "size", "all")
    assert "dense_conv 1 dense, weights lz4" in storages
    assert "dense_linear 1 dense, weights lz4" in storages
    for group in (1, 2, 4):
        assert any(f"nested_conv {group}" in name and "weights lz4" in name for name in storages)


@pytest.mark.parametrize("seed", range(100, 112))
def test_random_networks_come_back(seed: int) -> None:
    graph = random_graph(seed)
    for optimize, codecs in (("size", "all"), ("balanced", "raw")):
        check_project(graph, optimize, codecs)
    check_project(graph, "balanced", "all", "cmsis-nn")


def test_the_page_knows_the_newest_version() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert f"The newest version is {SCHEMA_VERSION};" in text
    assert f"\n| {SCHEMA_VERSION} | " in text


@pytest.mark.parametrize("seed", range(12))
def test_nestnet_files_come_back(seed: int) -> None:
    graph = random_graph(seed)
    found = page.read_nestnet(nestfile.to_bytes(graph))
    record, tensors = encode(graph)
    assert found.document["graph"] == record
    assert found.document["schema_version"] == SCHEMA_VERSION
    assert set(found.tensors) == set(tensors)
    for name, tensor in tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert np.array_equal(found.tensors[name], tensor)


def test_the_page_has_a_row_for_every_member() -> None:
    table = PAGE.read_text(encoding="utf-8").split("| member | type and extents |")[1]
    cells = re.findall(r"^\| (`.*?`) \|", table.split("\n\n")[0], re.M)
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} >= set(MEMBER_ORDER)


def damaged(stored: bytes, generator: random.Random) -> bytes:
    """Return ``stored`` with one byte changed, dropped or added."""
    data = bytearray(stored)
    at = generator.randrange(len(data))
    change = generator.randrange(4)
    if change == 0:
        del data[at:]
    elif change == 1:
        data.insert(at, generator.randrange(256))
    else:
        data[at] ^= 1 << generator.randrange(8)
    return bytes(data)


@pytest.mark.parametrize("group", [1, 2, 4])
def test_both_decoders_refuse_the_same_deltas(group: int) -> None:
    generator = random.Random(group)
    rng = np.random.default_rng(group)
    refused = 0
    for _ in range(400):
        rows, count = generator.randrange(1, 8), generator.randrange(1, 300)
        stored = damaged(deltas.encode(rng.random((rows, count)) < rng.random()), generator)
        try:
            expected = deltas.decode(stored, rows, count, group).tobytes()
        except UserError:
            with pytest.raises(FormatError):
                page.deltas_presence(stored, rows, count)
            refused += 1
            continue
        assert page.position_bytes(page.deltas_presence(stored, rows, count), group) == expected
    assert 100 < refused < 400


def test_both_decoders_agree_on_damaged_blocks() -> None:
    generator = random.Random(3)
    rng = np.random.default_rng(3)
    accepted = 0
    for _ in range(2000):
        data = rng.integers(0, 3, generator.randrange(20, 90), dtype=np.uint8).tobytes()
        stored = damaged(lz4.encode(data), generator)
        try:
            found = page.lz4_block(stored, len(data))
        except FormatError:
            continue
        assert found == lz4.decode(stored, len(data))
        accepted += 1
    assert accepted > 200


def test_a_damaged_image_is_refused() -> None:
    texts = project_texts(lowering.lower(digits_like(), resolve("host")))
    image = image_bytes(texts["library/weights.h"], texts["library/weights.c"])
    crc32 = zlib.crc32(image)
    members = image_members(texts["library/weights.h"], image, crc32)
    assert all(isinstance(member, Member) for member in members.values()) and len(members) > 20
    for at in range(0, len(image), 97):
        flipped = image[:at] + bytes([image[at] ^ 1]) + image[at + 1 :]
        with pytest.raises(FormatError, match="CRC"):
            image_members(texts["library/weights.h"], flipped, crc32)
