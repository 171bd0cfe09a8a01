"""A decoder of nestnet's formats, written from docs/format.md alone.

It shares no code with ``codegen`` and stops at whatever the page tells readers to refuse. Here are
the streams and the ``.nestnet`` file; ``format_project.py`` reads generated projects.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int8Array = NDArray[np.int8]

DTYPES = {"I8": "<i1", "U8": "<u1", "I16": "<i2", "U16": "<u2", "I32": "<i4"}
DIGITS = 64
MARKER = b'content_sha256\\":\\"'

LAST = 0x80
ADVANCE = 0x7F
LONGEST_ADVANCE = 127
LAST_LITERALS = 5
LAST_MATCH = 12


class FormatError(ValueError):
    """The bytes are not what the page describes."""


def need(condition: bool, what: str) -> None:
    """Raise FormatError unless ``condition``."""
    if not condition:
        raise FormatError(what)


@dataclass(frozen=True)
class Patch:
    """What one output channel of a layer weighs: (kernel_h, kernel_w, in_c)."""

    out_c: int
    kernel_h: int
    kernel_w: int
    in_c: int

    def group_count(self, group: int) -> int:
        """Return the positions of a patch in groups of ``group``."""
        return self.kernel_w * self.kernel_h * -(-self.in_c // group)


def lz4_block(stored: bytes, decoded_bytes: int) -> bytes:
    """Decode one LZ4 block that must give exactly ``decoded_bytes``."""
    out = bytearray()
    at = 0

    def take(count: int) -> bytes:
        nonlocal at
        need(at + count <= len(stored), "lz4: the block ends early")
        at += count
        return stored[at - count : at]

    def length(nibble: int) -> int:
        total = nibble
        more = nibble == 15
        while more:
            step = take(1)[0]
            total += step
            more = step == 255
        return total

    while True:
        token = take(1)[0]
        out += take(length(token >> 4))
        if at == len(stored):
            break
        (offset,) = struct.unpack("<H", take(2))
        need(1 <= offset <= len(out), "lz4: a match before the start")
        need(len(out) + LAST_MATCH <= decoded_bytes, "lz4: a match too near the end")
        for _ in range(length(token & 15) + 4):
            need(len(out) + LAST_LITERALS < decoded_bytes, "lz4: too few literals at the end")
            out.append(out[-offset])
    need(len(out) == decoded_bytes, "lz4: wrong length")
    return bytes(out)


def deltas_presence(stored: bytes, rows: int, count: int) -> list[list[int]]:
    """Return each row's present positions, rising."""
    need(len(stored) >= 1 and 1 <= stored[0] <= 7, "deltas: no width")
    width = stored[0]
    left = 8 * (len(stored) - 1)
    number = int.from_bytes(stored[1:], "little")
    present: list[list[int]] = [[] for _ in range(rows)]
    place, filling = -1, left
    while left >= width:
        code = number % 2**width
        number >>= width
        left -= width
        if code == 0:
            place += 2**width - 1
        else:
            place += code
            need(place < rows * count, "deltas: a group outside")
            present[place // count].append(place % count)
            filling = left
    need(number == 0, "deltas: filling bits that are not zero")
    need(filling < 8, "deltas: bytes left over")
    return present


def position_bytes(present: list[list[int]], group: int) -> bytes:
    """Return the position bytes of groups at ``present``, dummies included."""
    out = bytearray()
    for row in present:
        segment: list[int] = []
        before = 0
        for position in row:
            gap = position - before
            while gap > LONGEST_ADVANCE:
                segment.append(LONGEST_ADVANCE)
                gap -= LONGEST_ADVANCE
            segment.append(gap)
            before = position
        if not segment:
            segment.append(0)
        if group == 2 and len(segment) % 2:
            segment.append(0)
        segment[-1] |= LAST
        out += bytes(segment)
    return bytes(out)


def walk(positions: bytes, rows: int, count: int, group: int) -> list[list[int]]:
    """Return each segment's group positions in stream order, dummies included."""
    segments: list[list[int]] = []
    segment: list[int] = []
    at = 0
    for byte in positions:
        at += byte & ADVANCE
        need(at < count, "positions: a group outside the patch")
        segment.append(at)
        if byte & LAST:
            need(group != 2 or len(segment) % 2 == 0, "positions: half a pair")
            segments.append(segment)
            segment, at = [], 0
    need(not segment, "positions: the last segment does not end")
    need(len(segments) == rows, "positions: not one segment per output channel")
    return segments


def group_weights(weights: bytes, group: int, groups: int) -> Int8Array:
    """Return the weights (groups, group) of a stream in channel order."""
    need(len(weights) == groups * group, "weights: not one weight per lane")
    flat = np.frombuffer(weights, np.int8)
    if group == 4:
        return flat.reshape(-1, 4)[:, [0, 2, 1, 3]]
    if group == 2:
        return flat.reshape(-1, 4)[:, [0, 2, 1, 3]].reshape(-1, 2)
    return flat.reshape(-1, 1)


def nested_level(positions: bytes, weights: bytes, patch: Patch, group: int) -> Int8Array:
    """Return what one level adds: (out_c, kernel_h, kernel_w, in_c), elsewhere 0."""
    segments = walk(positions, patch.out_c, patch.group_count(group), group)
    values = group_weights(weights, group, len(positions))
    blocks = -(-patch.in_c // group)
    total = np.zeros((patch.out_c, patch.kernel_h, patch.kernel_w, blocks * group), np.int16)
    index = 0
    for row, segment in enumerate(segments):
        for position in segment:
            column, rest = divmod(position, patch.kernel_h * blocks)
            line, block = divmod(rest, blocks)
            # Dummy groups weigh 0 and may stand on a real group's position: add.
            total[row, line, column, block * group : (block + 1) * group] += values[index]
            index += 1
    need(not total[..., patch.in_c :].any(), "weights: padded channels that are not zero")
    return total[..., : patch.in_c].astype(np.int8)


def dense_channels(patch: Patch, stride: tuple[int, int]) -> int:
    """Return c of a dense layer's rows."""
    stride_h, stride_w = stride
    slides = stride_h < patch.kernel_h
    odd = stride_w * patch.kernel_h * patch.in_c % 2 or (stride_h * patch.in_c % 2 and slides)
    return patch.in_c + (1 if odd else 0)


def dense_rows(rows: bytes, patch: Patch, stride: tuple[int, int]) -> Int8Array:
    """Return the weights (out_c, kernel_h, kernel_w, in_c) of a dense layer."""
    channels = dense_channels(patch, stride)
    used = patch.kernel_w * patch.kernel_h * channels
    row_bytes = -(-used // 4) * 4
    need(len(rows) == patch.out_c * row_bytes, "dense: wrong size")
    quads = np.frombuffer(rows, np.int8).reshape(patch.out_c, -1, 4)[..., [0, 2, 1, 3]]
    flat = quads.reshape(patch.out_c, row_bytes)
    need(not flat[:, used:].any(), "dense: filling that is not zero")
    cube = flat[:, :used].reshape(patch.out_c, patch.kernel_w, patch.kernel_h, channels)
    need(not cube[..., patch.in_c :].any(), "dense: padded channels that are not zero")
    return cube[..., : patch.in_c].transpose(0, 2, 1, 3)


# ----------------------------------------------------------------------------- the .nestnet file


@dataclass(frozen=True)
class NestnetFile:
    """What a ``.nestnet`` file holds."""

    document: dict[str, Any]
    tensors: dict[str, NDArray[Any]]


def safetensors(data: bytes) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Return metadata and tensors of a safetensors file."""
    need(len(data) >= 8, "file: no header")
    (header_bytes,) = struct.unpack("<Q", data[:8])
    need(header_bytes <= len(data) - 8, "file: the header ends early")
    header = json.loads(data[8 : 8 + header_bytes].decode("utf-8"))
    metadata = header.pop("__metadata__", {})
    body = data[8 + header_bytes :]
    tensors: dict[str, NDArray[Any]] = {}
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, after = entry["data_offsets"]
        dtype = np.dtype(DTYPES[entry["dtype"]])
        need(begin == end, "file: a gap between tensors")
        need(after - begin == prod(entry["shape"]) * dtype.itemsize, "file: wrong tensor size")
        tensors[name] = np.frombuffer(body[begin:after], dtype).reshape(entry["shape"])
        end = after
    need(end == len(body), "file: bytes after the last tensor")
    return metadata, tensors


def read_nestnet(data: bytes) -> NestnetFile:
    """Read a ``.nestnet`` file; check its hash first."""
    at = data.find(MARKER) + len(MARKER)
    need(at >= len(MARKER), "file: no hash")
    digest = data[at : at + DIGITS].decode("ascii", "replace")
    zeroed = data[:at] + b"0" * DIGITS + data[at + DIGITS :]
    need(hashlib.sha256(zeroed).hexdigest() == digest, "file: wrong hash")
    metadata, tensors = safetensors(data)
    need(list(metadata) == ["nestnet"], "file: other metadata")
    document = json.loads(metadata["nestnet"])
    need(sorted(document) == ["content_sha256", "graph", "schema_version"], "file: other keys")
    need(document["content_sha256"] == digest, "file: another hash")
    named = sorted(_named_tensors(document["graph"]))
    need(named == sorted(tensors), "file: a tensor named never or twice")
    return NestnetFile(document, tensors)


def _named_tensors(record: Any) -> list[str]:
    if isinstance(record, dict):
        if list(record) == ["tensor"]:
            return [record["tensor"]]
        return [name for item in record.values() for name in _named_tensors(item)]
    if isinstance(record, list):
        return [name for item in record for name in _named_tensors(item)]
    return []
