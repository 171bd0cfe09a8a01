"""What the fuzzer of the .nestnet loader does with one input, and how it changes inputs."""

from __future__ import annotations

import copy
import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from math import prod
from typing import Any

import numpy as np

from codegen.emit import render
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph import reference
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.serialize import RecordError, decode
from codegen.graph.synthetic import (
    conv_layer_graph,
    linear_layer_graph,
    random_graph,
    random_inputs,
)
from codegen.lower import lowering
from codegen.target.target import resolve

MARKER = b'content_sha256\\":\\"'
DIGITS = 64
MAX_WORK = 2_000_000
"""Elements and multiply-accumulates up to which what loads is also run and packed."""

MAX_BYTES = 10240
CHOICES = [("balanced", "all"), ("size", "all"), ("size", "lz4"), ("speed", "raw")]


class Outcome(Enum):
    """How far an input got."""

    REFUSED = "refused"
    TOO_LARGE = "loaded, too large to run"
    NOT_LOWERED = "loaded, refused by lowering.lower"
    LOWERED = "loaded, run and lowered"


def sealed(data: bytes) -> bytes:
    """Return ``data`` with the content hash that belongs there; unchanged if it has no place."""
    begin = data.find(MARKER) + len(MARKER)
    if begin < len(MARKER) or len(data) < begin + DIGITS:
        return data
    blank = data[:begin] + b"0" * DIGITS + data[begin + DIGITS :]
    digest = hashlib.sha256(blank).hexdigest().encode()
    return data[:begin] + digest + data[begin + DIGITS :]


def examine(data: bytes) -> Outcome:
    """Load ``data`` as it is and sealed; run, pack and render what loads.

    Raises:
        anything but UserError: a finding.
    """
    with suppress(UserError):
        nestfile.from_bytes(data, "as it is")
    try:
        graph = nestfile.from_bytes(sealed(data), "sealed")
    except UserError as error:
        str(error).encode("utf-8")
        return Outcome.REFUSED
    again = nestfile.from_bytes(nestfile.to_bytes(graph), "again")
    assert nestfile.to_bytes(again) == nestfile.to_bytes(graph), "saved otherwise than loaded"
    if work(graph) > MAX_WORK:
        return Outcome.TOO_LARGE
    inputs = random_inputs(graph, 1, 1)
    for level in range(len(graph.levels)):
        reference.run(graph, inputs, level)
    resolve("host", graph.provenance)
    optimize, codecs = CHOICES[len(data) % len(CHOICES)]
    kernels = "cmsis-nn" if len(data) % 5 == 0 else "nestnet"
    try:
        packed = lowering.lower(
            graph, resolve("host", kernels=kernels, optimize=optimize, codecs=codecs)
        )
    except UserError:
        return Outcome.NOT_LOWERED
    for level in range(len(graph.levels)):
        reference.run(packed.graph, inputs, level)
    files = render.project_files(packed, None, "0" * 64, render.RuntimeFiles((), ()), "none")
    for text in files.values():
        text.encode("utf-8")
    return Outcome.LOWERED


def work(graph: Graph) -> int:
    """Return the elements and multiply-accumulates of one inference at all levels."""
    elements = sum(prod(value.shape) for value in graph.values)
    last = len(graph.levels) - 1
    windows = sum(
        prod(getattr(op, "kernel", (1, 1))) * prod(graph.value(op.output).shape) for op in graph.ops
    )
    macs = sum(op.macs(graph, last) for op in graph.ops)
    weights = sum(int(op.weight.size) for op in graph.ops if hasattr(op, "weight"))
    return len(graph.levels) * (elements + windows + macs + weights)


@dataclass
class Parts:
    """A file taken apart: the document and the tensors as (dtype, shape, bytes)."""

    document: Any
    tensors: dict[str, tuple[str, list[int], bytes]]


def take_apart(data: bytes) -> Parts | None:
    """Return the parts of ``data``, or None if it is too broken for that."""
    try:
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:end])
        document = json.loads(header.pop("__metadata__")["nestnet"])
        tensors = {}
        for name, entry in header.items():
            begin, after = entry["data_offsets"]
            tensors[name] = (entry["dtype"], entry["shape"], data[end + begin : end + after])
        return Parts(document, tensors)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def put_together(parts: Parts) -> bytes:
    """Return the file of ``parts``, sealed."""
    if isinstance(parts.document, dict):
        parts.document["content_sha256"] = "0" * DIGITS
    text = json.dumps(parts.document, separators=(",", ":"), sort_keys=True)
    header: dict[str, Any] = {"__metadata__": {"nestnet": text}}
    at = 0
    for name, (dtype, shape, data) in parts.tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    blob = json.dumps(header, separators=(",", ":")).encode()
    blob += b" " * (-len(blob) % 8)
    body = b"".join(data for _, _, data in parts.tensors.values())
    return sealed(len(blob).to_bytes(8, "little") + blob + body)


NUMBERS = (0, 1, -1, 2, 3, 4, 5, 7, 8, 16, 17, 22, 31, 32, 64, 127, 128, -128, -129, 255, 256)
NUMBERS += (4096, 65535, 65536, 2**22, 2**31 - 1, 2**31, -(2**31), 2**32, 2**63, 2**64, 10**400)
OTHERS = (0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf"), True, False, None, "", "a", "A-b")
OTHERS += ("\ud800", "*/", "\n", "\0", 'a"', "\\", "x" * 300, "input", "value0", "conv0", [], {})
OTHERS += ([0], [1, 1], [1, 1, 1], [0, 0, 0, 0], {"tensor": "ops.0.weight"}, {"type": "Reshape"})
DTYPE_BYTES = {"I8": 1, "U8": 1, "I16": 2, "U16": 2, "I32": 4, "F32": 4, "BOOL": 1, "I64": 8}
DTYPE_BYTES |= {"BF16": 2, "F16": 2, "U32": 4, "F64": 8, "F8_E4M3": 1, "F4": 1, "X": 1}


NUMPY = {"I8": "<i1", "U8": "<u1", "I16": "<i2", "U16": "<u2", "I32": "<i4"}


def changed(data: bytes, generator: random.Random, limit: int = MAX_BYTES) -> bytes:
    """Return ``data`` after a few random changes, mostly to what the file means."""
    parts = take_apart(data) if generator.random() < 0.9 else None
    if parts is None:
        result = _changed_bytes(data, generator)
        return sealed(result) if generator.random() < 0.8 else result
    for _ in range(generator.choice((1, 1, 1, 2, 3))):
        if parts.tensors and generator.random() < 0.35:
            _change_tensor(parts.tensors, generator)
        else:
            _change_document(parts, generator)
    if generator.random() < 0.5:
        _repair(parts)
    result = put_together(parts)
    if generator.random() < 0.05:
        result = sealed(_changed_bytes(result, generator))
    return result if len(result) <= limit else data


def _changed_bytes(data: bytes, generator: random.Random) -> bytes:
    changed_data = bytearray(data)
    for _ in range(generator.choice((1, 1, 2, 5))):
        at = generator.randrange(len(changed_data) + 1)
        kind = generator.randrange(5)
        if kind == 0:
            del changed_data[at : at + generator.choice((1, 2, 8, 64, 2000))]
        elif kind == 1:
            changed_data[at:at] = generator.randbytes(generator.choice((1, 2, 8)))
        elif kind == 2 and changed_data:
            source = generator.randrange(len(changed_data))
            changed_data[at:at] = changed_data[source : source + generator.randrange(40)]
        elif at < len(changed_data):
            changed_data[at] = generator.choice((generator.randrange(256), *b'0123456789",:{}[]\\'))
    return bytes(changed_data)


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every (container, key) below ``node``."""
    items = list(node.items()) if isinstance(node, dict) else []
    items = list(enumerate(node)) if isinstance(node, list) else items
    for key, item in items:
        yield node, key
        yield from _places(item)


def _change_document(parts: Parts, generator: random.Random) -> None:
    places = list(_places(parts.document))
    if not places:
        return
    container, key = generator.choice(places)
    kind = generator.randrange(10)
    node = container[key]
    if kind == 0:
        del container[key]
    elif kind == 1:
        other, name = generator.choice(places)
        container[key] = copy.deepcopy(other[name])
    elif kind == 2 and isinstance(container, list):
        container.insert(generator.randrange(len(container) + 1), copy.deepcopy(node))
    elif kind == 3 and isinstance(container, dict):
        container[generator.choice(("extra", "type", "tensor", "groups"))] = copy.deepcopy(node)
    elif kind < 6 and type(node) is int:
        container[key] = node + generator.choice((-2, -1, 1, 2))
    elif kind < 9 and type(node) in (int, float):
        container[key] = generator.choice(NUMBERS)
    else:
        container[key] = copy.deepcopy(generator.choice(OTHERS + NUMBERS))


def _repair(parts: Parts) -> None:
    """Give every value the shape its operator computes, so that more changed files are valid."""
    tensors = {}
    for name, (dtype, shape, data) in parts.tensors.items():
        if dtype not in NUMPY or len(data) != prod(shape) * DTYPE_BYTES[dtype]:
            return
        tensors[name] = np.frombuffer(data, NUMPY[dtype]).reshape(shape)
    try:
        graph: Graph = decode(Graph, parts.document["graph"], tensors)
        shapes = {value.name: value.shape for value in graph.values}
        for op in graph.ops:
            sources = tuple(shapes[name] for name in op.inputs)
            shapes[op.output] = op.out_shape(sources) or shapes[op.output]
    except (RecordError, KeyError, TypeError, ValueError, IndexError, ZeroDivisionError):
        return
    for value in parts.document["graph"]["values"]:
        value["shape"] = list(shapes[value["name"]])


def _change_tensor(
    tensors: dict[str, tuple[str, list[int], bytes]], generator: random.Random
) -> None:
    name = generator.choice(list(tensors))
    dtype, shape, data = tensors[name]
    kind = generator.randrange(9)
    if kind == 0:
        dtype = generator.choice(list(DTYPE_BYTES))
    elif kind == 1:
        shape = [generator.choice((0, 1, *shape)) for _ in shape]
    elif kind == 2:
        shape = shape[:-1] if generator.random() < 0.5 else [*shape, 1]
    elif kind == 3:
        del tensors[name]
        return
    elif kind == 4:
        tensors[generator.choice(("spare", f"{name}x", "ops.9.weight"))] = tensors[name]
        return
    elif data:
        elements = bytearray(data)
        width = DTYPE_BYTES.get(dtype, 1)
        for _ in range(generator.choice((1, 1, 3, 50))):
            at = generator.randrange(max(1, len(elements) // width)) * width
            value = generator.choice(
                (0, 1, -1, 2, 127, -127, -128, 255, 2**15, 2**31 - 1, -(2**31))
            )
            elements[at : at + width] = (value % 256**width).to_bytes(width, "little")
        tensors[name] = (dtype, shape, bytes(elements[: len(data)]))
        return
    size = prod(shape) * DTYPE_BYTES.get(dtype, 1)
    filled = data.ljust(size, b"\1")[:size] if 0 <= size <= MAX_BYTES else data
    tensors[name] = (dtype, shape, filled)


def seeds() -> list[bytes]:
    """Return small files of every operator."""
    net = GraphBuilder((3, 4, 2), 2, 1, "every")
    value = net.conv("input", 4, (2, 2), group=2, densities=(0.3, 0.6))
    value = net.conv(value, 4, (1, 1), residual=value)
    value = net.conv(value, 4, (1, 2), groups=4)
    value = net.add(value, net.conv(value, 4, (1, 1), groups=2))
    value = net.pool(value, MaxPool, (1, 2), (1, 1), (0, 1, 0, 0))
    value = net.pool(value, AvgPool, (2, 1), (1, 1))
    value = net.reshape(value, (1, 1, int(np.prod(net.shape(value)))))
    net.softmax(net.linear(value, 3, group=4, densities=(0.5, 1.0)))
    whole = net.graph()
    cmsis = lowering.lower(
        conv_layer_graph(2, 3, 3, 2, densities=None), resolve("host", kernels="cmsis-nn")
    ).graph
    graphs = [
        whole,
        cmsis,
        conv_layer_graph(2, 3, 5, 3, (1, 2), group=4, densities=(0.3, 0.8)),
        conv_layer_graph(3, 2, 3, 3, groups=3, densities=None),
        linear_layer_graph(7, 3, group=1, densities=(0.2, 0.4, 1.0)),
        random_graph(42, levels=2, blocks=1, largest=3, inputs=2, outputs=3),
    ]
    return [nestfile.to_bytes(graph) for graph in graphs]
