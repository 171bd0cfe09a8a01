"""A .nestnet file comes back as it was saved, or is refused with a UserError."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as parse_safetensors
from safetensors.numpy import save as format_safetensors

from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph import reference
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import SCHEMA_VERSION, Graph
from codegen.graph.ops.normalize import Normalize
from codegen.graph.serialize import encode
from codegen.graph.synthetic import conv_layer_graph, random_graph, random_images
from codegen.target import boards
from codegen.target.target import Choices, Target, resolve

SMALL = conv_layer_graph(2, 3, 2, 3, (1, 1), group=2, densities=(0.5, 1.0), residual=False)


class NoPlaceForHash(Exception):
    """The file says nowhere what its hash is."""


def same(first: Graph, second: Graph) -> bool:
    """Return whether two graphs store the same record and arrays."""
    (record, arrays), (other_record, other_arrays) = encode(first), encode(second)
    return record == other_record and all(
        np.array_equal(arrays[name], other_arrays[name]) for name in arrays
    )


def resealed(edit: Callable[[dict[str, Any], dict[str, Any]], object]) -> bytes:
    """Return SMALL's file after ``edit(document, tensors)``, with a correct content hash."""
    data = nestfile.to_bytes(SMALL)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    document = json.loads(header["__metadata__"]["nestnet"])
    tensors = parse_safetensors(data)
    edit(document, tensors)
    document["content_sha256"] = "0" * 64
    text = json.dumps(document, separators=(",", ":"), sort_keys=True)
    return seal(format_safetensors(tensors, metadata={"nestnet": text}))


def seal(data: bytes) -> bytes:
    """Return ``data`` with the content hash that belongs there."""
    marker = b'content_sha256\\":\\"'
    if marker not in data:
        raise NoPlaceForHash
    begin = data.index(marker) + len(marker)
    blank = data[:begin] + b"0" * 64 + data[begin + 64 :]
    digest = hashlib.sha256(blank).hexdigest().encode()
    return blank[:begin] + digest + blank[begin + 64 :]


@pytest.mark.parametrize("seed", range(12))
def test_round_trip(seed: int, tmp_path: Path) -> None:
    graph = random_graph(seed)
    path = tmp_path / "model.nestnet"
    nestfile.save(graph, path)
    back = nestfile.load(path)
    assert same(graph, back)
    images = random_images(graph, 2, seed)
    for level in range(len(graph.levels)):
        expected = reference.run_one(graph, images, level)
        assert np.array_equal(expected, reference.run_one(back, images, level))
    assert nestfile.to_bytes(back) == path.read_bytes() == nestfile.to_bytes(random_graph(seed))
    assert nestfile.file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert os.listdir(tmp_path) == ["model.nestnet"]


def test_every_truncation_is_refused() -> None:
    data = nestfile.to_bytes(SMALL)
    for length in range(len(data)):
        with pytest.raises(UserError, match="damaged"):
            nestfile.from_bytes(data[:length], "short")


def test_every_flipped_byte_is_refused() -> None:
    data = nestfile.to_bytes(SMALL)
    generator = random.Random(7)
    for index in range(len(data)):
        damaged = bytearray(data)
        damaged[index] ^= generator.randrange(1, 256)
        with pytest.raises(UserError, match="damaged"):
            nestfile.from_bytes(bytes(damaged), "flipped")
    for extra in (b"\0", b"more"):
        with pytest.raises(UserError, match="damaged"):
            nestfile.from_bytes(data + extra, "longer")


def test_every_flipped_byte_under_a_right_hash_loads_or_is_refused() -> None:
    data = nestfile.to_bytes(SMALL)
    generator = random.Random(8)
    loaded = 0
    for index in range(len(data)):
        damaged = bytearray(data)
        damaged[index] ^= generator.randrange(1, 256)
        try:
            loaded += not same(nestfile.from_bytes(seal(bytes(damaged)), "flipped"), SMALL)
        except (UserError, NoPlaceForHash):
            continue
    assert loaded > 20


def test_random_bytes_are_refused() -> None:
    generator = random.Random(11)
    for _ in range(200):
        with pytest.raises(UserError):
            nestfile.from_bytes(generator.randbytes(generator.randrange(400)), "noise")


def test_a_budget_survives_and_chooses_the_storage() -> None:
    provenance = replace(SMALL.provenance, flash_budget_bytes=4096, codecs="lz4")
    back = nestfile.from_bytes(nestfile.to_bytes(replace(SMALL, provenance=provenance)), "file")
    assert (back.provenance.flash_budget_bytes, back.provenance.codecs) == (4096, "lz4")
    host = boards.load("host")
    chosen = resolve("host", back.provenance)
    assert chosen == Target(host, "nestnet", "size", "lz4", "inference")
    chosen = resolve("host", SMALL.provenance)
    assert chosen == Target(host, "nestnet", "balanced", "all", "inference")
    said = Choices(kernels="cmsis-nn", optimize="speed", codecs="raw", decode="level")
    chosen = resolve(host, back.provenance, **said)
    assert chosen == Target(host, "cmsis-nn", "speed", "raw", "level")


EDITS: dict[str, Callable[[dict[str, Any], dict[str, Any]], object]] = {
    "newer .nestnet file": lambda d, t: d.update(schema_version=SCHEMA_VERSION + 1),
    "schema_version of at least 1": lambda d, t: d.update(schema_version=0),
    "a schema_version": lambda d, t: d.pop("schema_version"),
    "the keys": lambda d, t: d.update(extra=1),
    "values": lambda d, t: d["graph"].pop("values"),
    "got ['input', ": lambda d, t: d["graph"].update(input="input"),
    "a list at inputs": lambda d, t: d["graph"].update(inputs="input"),
    "meaning is one of": lambda d, t: d["graph"]["values"][0].update(meaning="smell"),
    "surprise": lambda d, t: d["graph"].update(surprise=3),
    "expected int at values.0.zero_point": lambda d, t: d["graph"]["values"][0].update(
        zero_point=True
    ),
    "expected str at name": lambda d, t: d["graph"].update(name=3),
    "expected float at levels.0.sparsity": lambda d, t: d["graph"]["levels"][0].update(
        sparsity="high"
    ),
    "expected 3 at values.0.shape": lambda d, t: d["graph"]["values"][0].update(shape=[1, 2]),
    "a list at ops": lambda d, t: d["graph"].update(ops=None),
    "type in": lambda d, t: d["graph"]["ops"][0].update(type="Conv3D"),
    "name of a stored tensor": lambda d, t: d["graph"]["ops"][0].update(weight={"tensor": "no"}),
    "a tensor of its own": lambda d, t: d["graph"]["ops"][0]["requant"].update(
        multiplier={"tensor": "ops.0.weight"}
    ),
    "no unused tensor": lambda d, t: t.update(spare=np.zeros(2, np.int8)),
    "got int16, expected int8 at ops.0.weight": lambda d, t: t.update(
        {"ops.0.weight": t["ops.0.weight"].astype(np.int16)}
    ),
    "weight has 4 dimensions": lambda d, t: t.update({"ops.0.weight": t["ops.0.weight"][0]}),
    "group_level is uint8 of shape": lambda d, t: t.update(
        {"ops.0.group_level": t["ops.0.group_level"][:1]}
    ),
    "stride is at least 1": lambda d, t: d["graph"]["ops"][0].update(stride=[0, 0]),
    "scales are finite": lambda d, t: d["graph"]["values"][0].update(scale=[float("nan")] * 2),
    "single precision": lambda d, t: d["graph"]["values"][0].update(scale=[1e300] * 2),
    "a number of 64 bits at levels.0.sparsity": lambda d, t: d["graph"]["levels"][0].update(
        sparsity=10**400
    ),
    "a number of 64 bits at provenance.flash_budget_bytes": lambda d, t: d["graph"][
        "provenance"
    ].update(flash_budget_bytes=2**63),
    "the flash budget is at least 1 byte": lambda d, t: d["graph"]["provenance"].update(
        flash_budget_bytes=0
    ),
    "codecs is one of all, lz4, raw": lambda d, t: d["graph"]["provenance"].update(codecs="zip"),
    "text that UTF-8 can hold at levels.0.name": lambda d, t: d["graph"]["levels"][0].update(
        name="half \ud800"
    ),
    "kernel and stride are at most 65535": lambda d, t: d["graph"]["ops"][0].update(
        stride=[65536, 1]
    ),
    "below 2**24 elements": lambda d, t: d["graph"]["values"][0].update(shape=[4096, 4096, 1]),
}


@pytest.mark.parametrize("message", EDITS)
def test_sealed_but_wrong_content_is_refused(message: str) -> None:
    with pytest.raises(UserError) as caught:
        nestfile.from_bytes(resealed(EDITS[message]), "edited.nestnet")
    assert message in str(caught.value) and "edited.nestnet" in str(caught.value)


def test_other_metadata_are_refused() -> None:
    data = nestfile.to_bytes(SMALL)
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"]["note"] = "mine"
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    edited = seal(len(text).to_bytes(8, "little") + text + data[end:])
    with pytest.raises(UserError, match="metadata are not nestnet alone"):
        nestfile.from_bytes(edited, "edited")


def test_a_second_hash_is_refused() -> None:
    """The last of two equal keys counts in JSON; the first place counts for the hash."""
    data = nestfile.to_bytes(SMALL)
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    text = header["__metadata__"]["nestnet"]
    begin = text.index('"graph"')
    twice = text[:begin] + '"content_sha256":"' + "1" * 64 + '",' + text[begin:]
    header["__metadata__"]["nestnet"] = twice
    blob = json.dumps(header, separators=(",", ":")).encode()
    blob += b" " * (-len(blob) % 8)
    edited = seal(len(blob).to_bytes(8, "little") + blob + data[end:])
    with pytest.raises(UserError, match="another content_sha256"):
        nestfile.from_bytes(edited, "edited")


def test_resealing_without_an_edit_is_accepted() -> None:
    assert same(nestfile.from_bytes(resealed(lambda d, t: None), "same"), SMALL)


def test_random_edits_of_the_json_raise_only_user_errors() -> None:
    """Replace each JSON leaf in turn by hostile values; the hash is made to match."""
    document: dict[str, Any] = {}
    resealed(lambda d, t: document.update(d))
    hostile = [None, -1, 2**70, 1.5, "", [], {}, [[]], "\0", 255]
    refused = tried = 0
    for path in list(leaves(document["graph"])):
        for value in hostile:

            def edit(d: dict[str, Any], t: object, path: Any = path, value: Any = value) -> None:
                target = d["graph"]
                for key in path[:-1]:
                    target = target[key]
                target[path[-1]] = value

            tried += 1
            try:
                nestfile.from_bytes(resealed(edit), "hostile")
            except UserError:
                refused += 1
    assert refused > tried // 2, f"{refused} of {tried} refused"


def leaves(node: Any, path: tuple[Any, ...] = ()) -> Any:
    """Yield the path of every leaf of a JSON value."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, child in items:
        if isinstance(child, dict | list) and child:
            yield from leaves(child, (*path, key))
        else:
            yield (*path, key)


def test_missing_file_and_unwritable_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        nestfile.load(tmp_path / "none.nestnet")
    with pytest.raises(UserError, match="cannot read"):
        nestfile.file_sha256(tmp_path)
    with pytest.raises(UserError, match="cannot write"):
        nestfile.save(SMALL, tmp_path / "no" / "folder.nestnet")
    (tmp_path / "taken.nestnet").mkdir()
    with pytest.raises(UserError, match="cannot write"):
        nestfile.save(SMALL, tmp_path / "taken.nestnet")
    assert os.listdir(tmp_path) == ["taken.nestnet"]


def test_truth_values_come_back(tmp_path: Path) -> None:
    builder = GraphBuilder((5, 7, 4), 2, seed=1)
    whole = builder.normalize(builder.conv("input", 4, (1, 1)), (35, 2), center=True)
    builder.linear(builder.normalize(whole, (1, 4), center=False), 3)
    nestfile.save(builder.graph(), tmp_path / "net.nestnet")
    loaded = nestfile.load(tmp_path / "net.nestnet")
    assert [op.center for op in loaded.ops if isinstance(op, Normalize)] == [True, False]
