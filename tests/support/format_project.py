"""The weights in a generated project, read from its C text by docs/format.md alone."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from tests.support.format_page import (
    Int8Array,
    Patch,
    deltas_presence,
    dense_rows,
    lz4_block,
    need,
    nested_level,
    position_bytes,
)

MEMBER_ORDER = (
    "weights",
    "multiplier",
    "shift",
    "bias",
    "bias_delta",
    "channel_level",
    "residual_multiplier",
    "add_multiplier",
    "add_offset",
    "mul_multiplier",
    "mul_offset",
    "matmul_multiplier",
    "normalize",
    "softmax_gain",
    "table",
    "constant",
    "lookup",
    "shared_lookup",
)
LAYER_MEMBER = rf"(layer_\d+_\w+?)_(positions|{'|'.join(MEMBER_ORDER)})(?:_(\d+))?"
NUMBER = re.compile(r"\.(\w+) = (-?\d+)")
DECLARED = re.compile(r"^ {4}(\w+) (\w+)((?:\[\d+\])+);$", re.M)
"""A member of the struct: type, name, extents."""

CODED = re.compile(r"static const nn_coded (\w+)\[\] = \{(.*?)^    \};", re.M | re.S)
"""A role's coded streams in a decode function: role, entries."""


@dataclass(frozen=True)
class Member:
    """One member of the struct, with its bytes."""

    c_type: str
    extents: tuple[int, ...]
    data: bytes

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Return the content as integers of shape ``extents``."""
        flat = np.frombuffer(self.data, f"<{self.c_type[0]}{self.element_bytes}")
        return flat.reshape(self.extents).astype(np.int64)

    @property
    def element_bytes(self) -> int:
        """Return the bytes of one element."""
        return element_bytes(self.c_type)


def element_bytes(c_type: str) -> int:
    """Return the bytes of a type such as uint16_t."""
    return int(re.sub(r"\D", "", c_type)) // 8


def image_members(weights_h: str, image: bytes, crc32: int) -> dict[str, Member]:
    """Cut ``image`` into the members that ``weights.h`` declares; check the CRC-32."""
    need(zlib.crc32(image) == crc32, "image: wrong CRC-32")
    members: dict[str, Member] = {}
    at = 0
    for c_type, name, extents in DECLARED.findall(weights_h):
        dims = tuple(int(extent) for extent in re.findall(r"\d+", extents))
        length = prod(dims) * element_bytes(c_type)
        need(at + length <= len(image), "image: too short")
        if name == "pad":
            need(length <= 3 and not any(image[at:]), "image: filling that is not zero")
        else:
            members[name] = Member(c_type, dims, image[at : at + length])
        at += length
    need(at == len(image) and at % 4 == 0, "image: wrong size")
    return members


def image_bytes(weights_h: str, weights_c: str) -> bytes:
    """Return the struct's bytes as a little-endian machine lays out ``weights.c``."""
    parts: list[bytes] = []
    for c_type, name, extents in DECLARED.findall(weights_h):
        found = re.search(rf"^    \.{name} = \{{\n(.*?)^    \}},$", weights_c, re.M | re.S)
        count = prod(int(extent) for extent in re.findall(r"\d+", extents))
        numbers = [int(number) for number in re.findall(r"-?\d+", found[1])] if found else []
        numbers += [0] * (count - len(numbers) if name == "pad" else 0)
        need(len(numbers) == count, f"{name}: wrong number of elements")
        parts.append(np.array(numbers).astype(f"<{c_type[0]}{element_bytes(c_type)}").tobytes())
    return b"".join(parts)


@dataclass(frozen=True)
class CodedStream:
    """An ``nn_coded`` of the generated C."""

    codec: str
    member: str
    stored_bytes: int
    decoded_bytes: int


def coded_streams(model_c: str, layer: str) -> dict[str, CodedStream]:
    """Return the coded streams of ``layer`` by the name of their member in the image."""
    body = re.search(rf"^DECODE \w+_{layer}_decode\(.*?^}}", model_c, re.M | re.S)
    streams: dict[str, CodedStream] = {}
    if body is None:
        return streams
    for role, text in CODED.findall(body[0]):
        called = re.search(rf"nn_decode_(lz4|deltas)_{role}\({role}, ", body[0])
        need(called is not None, f"{layer}: nobody decodes {role}")
        assert called is not None
        for entry in re.findall(r"\{(.*?)\}", text, re.S):
            stored = re.search(r"\.stored = nn_weights_\w+\.(\w+)", entry)
            assert stored is not None
            numbers = {key: int(value) for key, value in NUMBER.findall(entry)}
            streams[stored[1]] = CodedStream(
                called[1], stored[1], numbers["stored_bytes"], numbers["decoded_bytes"]
            )
    return streams


def page_order(model_c: str, members: dict[str, Member]) -> list[str]:
    """Return the names of ``members`` in the order the page gives them."""

    def key(name: str) -> tuple[int, str, int, int]:
        layer, role, level = re.fullmatch(LAYER_MEMBER, name).groups()  # type: ignore[union-attr]
        streams = 2 * int(level) + (role == "weights") if level else 0
        within = -1 if level else MEMBER_ORDER.index(role)
        return -alignment(model_c, layer, role, level, members[name]), layer, within, streams

    return sorted(members, key=key)


def alignment(model_c: str, layer: str, role: str, level: str | None, member: Member) -> int:
    """Return what the page says a member is aligned to."""
    if member.element_bytes > 1 or role != "weights":
        return member.element_bytes
    kernel, _, arguments = layer_body(model_c, layer)
    if member.c_type == "uint8_t":
        return 1
    if level:
        return 1 if arguments.split(", ")[3] == "1" else 4
    return 4 if kernel.startswith("dense") or len(member.data) % 4 == 0 else 1


def layer_body(model_c: str, layer: str) -> tuple[str, dict[str, int], str]:
    """Return kernel, the numbers of its shape, and the call's arguments of a layer function."""
    body = re.search(rf"^LAYER \w+_{layer}\(.*?^}}", model_c, re.M | re.S)
    need(body is not None, f"{layer}: no function")
    assert body is not None
    cmsis = re.search(r"        arm_(\w+)_wrapper_s8\(", body[0])
    if cmsis is not None:
        dims = {
            name: dict(NUMBER.findall(text))
            for name, text in re.findall(r"cmsis_nn_dims (\w+) = \{(.*?)\};", body[0])
        }
        kernel, rows = dims["filter_dims"], dims["output_dims"]
        extents = {"out_c": rows["c"], "kernel_h": kernel["h"], "kernel_w": kernel["w"]}
        return f"cmsis_{cmsis[1]}", {key: int(value) for key, value in extents.items()}, ""
    called = re.search(r"^    nn_(\w+)\((.*)\);$", body[0], re.M)
    need(called is not None, f"{layer}: no kernel")
    assert called is not None
    shape = re.search(r"nn_window_shape shape = \{(.*?)\};", body[0], re.S)
    numbers = {key: int(value) for key, value in NUMBER.findall(shape[1])} if shape else {}
    return called[1], numbers, called[2]


def execution_form(member: Member, coded: CodedStream | None, patch: Patch, group: int) -> bytes:
    """Return a stream as kernels read it."""
    if coded is None:
        return member.data
    need(len(member.data) == coded.stored_bytes, f"{coded.member}: stored size differs")
    if coded.codec == "lz4":
        return lz4_block(member.data, coded.decoded_bytes)
    present = deltas_presence(member.data, patch.out_c, patch.group_count(group))
    out = position_bytes(present, group)
    need(len(out) == coded.decoded_bytes, f"{coded.member}: decoded size differs")
    return out


def layer_weights(
    layer: str, model_c: str, members: dict[str, Member], levels: int
) -> list[Int8Array] | None:
    """Return the weights of ``layer`` per level, (out_c, kernel_h, kernel_w, in_c / groups).

    None for a layer without weights.
    """
    if not any(name.startswith(f"{layer}_weights") for name in members):
        return None
    kernel, shape, arguments = layer_body(model_c, layer)
    patch = Patch(shape["out_c"], shape["kernel_h"], shape["kernel_w"], shape.get("in_c", 1))
    coded = coded_streams(model_c, layer)

    def stream(name: str, group: int) -> bytes:
        return execution_form(members[name], coded.get(name), patch, group)

    if kernel in ("nested_conv", "nested_linear"):
        group = int(arguments.split(", ")[3])
        sums: list[Int8Array] = []
        total = np.zeros((patch.out_c, patch.kernel_h, patch.kernel_w, patch.in_c), np.int8)
        for level in range(levels):
            positions = stream(f"{layer}_positions_{level}", group)
            weights = stream(f"{layer}_weights_{level}", group)
            total = total + nested_level(positions, weights, patch, group)
            sums.append(total)
        return sums
    data = stream(f"{layer}_weights", 1)
    if kernel in ("dense_conv", "dense_linear"):
        return [dense_rows(data, patch, (shape["stride_h"], shape["stride_w"]))] * levels
    flat = np.frombuffer(data, np.int8)
    if kernel == "cmsis_depthwise_conv":
        return [flat.reshape(patch.kernel_h, patch.kernel_w, -1, 1).transpose(2, 0, 1, 3)] * levels
    weights = flat.reshape(patch.out_c, patch.kernel_h, patch.kernel_w, -1)
    if f"{layer}_channel_level" in members:
        first = members[f"{layer}_channel_level"].numbers[:, None, None, None]
        return [np.where(first <= level, weights, np.int8(0)) for level in range(levels)]
    return [weights] * levels
