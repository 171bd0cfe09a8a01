"""Lay the members of all layers out as one weight image."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from codegen.formats.storage import IMAGE_ALIGN_BYTES
from codegen.graph.ir import NAME_CHARACTERS
from codegen.lower.state import Image, State
from codegen.program.call import Member
from codegen.program.draft import Content

C_TYPES = {
    np.dtype(np.int8): "int8_t",
    np.dtype(np.uint8): "uint8_t",
    np.dtype(np.int16): "int16_t",
    np.dtype(np.uint16): "uint16_t",
    np.dtype(np.int32): "int32_t",
}


def lay_out_image(state: State) -> State:
    """Order all members by alignment, so that none needs padding, and join their bytes."""
    contents = [
        (c_name(index, item.op.name), item.op.name, content)
        for index, item in enumerate(state.layers)
        for content in item.draft.contents
    ]
    contents.sort(key=lambda entry: -entry[2].align_bytes)
    members: list[Member] = []
    parts: list[bytes] = []
    offset = 0
    for layer_name, op_name, content in contents:
        little = np.ascontiguousarray(content.array).astype(content.array.dtype.newbyteorder("<"))
        member = Member(
            name=member_name(layer_name, content),
            role=content.role,
            c_type=C_TYPES[content.array.dtype],
            array=content.array,
            offset_bytes=offset,
            align_bytes=content.align_bytes,
            layer=op_name,
            coded=content.coded,
            by_level=content.by_level,
        )
        members.append(member)
        parts.append(little.tobytes())
        offset += member.size_bytes
    # C knows no empty struct: the image of a network without weights is padding.
    parts.append(bytes(-offset % IMAGE_ALIGN_BYTES if members else IMAGE_ALIGN_BYTES))
    return replace(state, image=Image(tuple(members), b"".join(parts)))


def c_name(index: int, name: str) -> str:
    """Return what layer ``index`` is called in C: ``name``, its end if it is long, numbered."""
    plain = re.sub(r"[^a-z0-9_]+", "_", name.lower())[-NAME_CHARACTERS:].strip("_")
    return f"layer_{index:02d}_{plain}"


def member_name(layer_name: str, content: Content) -> str:
    """Return the name of a member of the layer that is called ``layer_name`` in C."""
    suffix = "" if content.level is None else f"_{content.level}"
    return f"{layer_name}_{content.role}{suffix}"
