"""Lower an integer graph: run the passes, choose kernels, plan the arena, lay out the weights."""

from __future__ import annotations

import re
import zlib

import numpy as np

from codegen.graph.ir import Graph
from codegen.lower.buffers import Buffers, Lowered
from codegen.lower.drafts import choose_drafts
from codegen.lower.pipeline import run_passes
from codegen.program.call import Call, LevelCost, Member, Stream
from codegen.program.draft import Content, Draft
from codegen.program.program import Program, ProgramLevel
from codegen.target.target import Target

IMAGE_ALIGN_BYTES = 4
NAME_CHARACTERS = 40
"""Longest part a layer's name has in C names."""

C_TYPES = {
    np.dtype(np.int8): "int8_t",
    np.dtype(np.uint8): "uint8_t",
    np.dtype(np.int16): "int16_t",
    np.dtype(np.uint16): "uint16_t",
    np.dtype(np.int32): "int32_t",
}


def lower(graph: Graph, target: Target) -> Program:
    """Return everything code generation needs to know about ``graph``.

    Args:
        graph: as exported; it is verified first.
        target: what it is lowered for.

    Raises:
        UserError: a broken rule, or a network that computes nothing.
    """
    lowered = run_passes(graph, target.kernels)
    drafts, buffers = choose_drafts(lowered, target)
    names = tuple(f"layer_{i:02d}_{_identifier(item.op.name)}" for i, item in enumerate(drafts))
    image, image_bytes = _lay_out(drafts, names)
    by_name = {member.name: member for member in image}
    layers = tuple(
        _layer(index, lowered, item, names[index], by_name, buffers)
        for index, item in enumerate(drafts)
    )
    return Program(
        graph=lowered,
        source=graph,
        target=target,
        layers=layers,
        image=image,
        image_bytes=image_bytes,
        crc32=zlib.crc32(image_bytes),
        arena_bytes=buffers.plan.arena_bytes,
        peak_bytes=buffers.plan.peak_bytes,
        levels=_levels(lowered, layers),
    )


def _identifier(name: str) -> str:
    """Return ``name``, or its end if it is long, without what C identifiers cannot hold."""
    return re.sub(r"[^a-z0-9_]+", "_", name.lower())[-NAME_CHARACTERS:].strip("_")


def _member_name(layer_name: str, content: Content) -> str:
    suffix = "" if content.level is None else f"_{content.level}"
    return f"{layer_name}_{content.role}{suffix}"


def _lay_out(
    layers: tuple[Lowered, ...], names: tuple[str, ...]
) -> tuple[tuple[Member, ...], bytes]:
    """Order all members by alignment, so that none needs padding, and join their bytes."""
    contents = [
        (name, item.op.name, content)
        for name, item in zip(names, layers, strict=True)
        for content in item.draft.contents
    ]
    contents.sort(key=lambda entry: -entry[2].align_bytes)
    image: list[Member] = []
    parts: list[bytes] = []
    offset = 0
    for layer_name, op_name, content in contents:
        if offset % content.align_bytes:
            raise AssertionError(f"{layer_name} {content.role}: misaligned at {offset}")
        little = np.ascontiguousarray(content.array).astype(content.array.dtype.newbyteorder("<"))
        member = Member(
            name=_member_name(layer_name, content),
            role=content.role,
            c_type=C_TYPES[content.array.dtype],
            array=content.array,
            offset_bytes=offset,
            align_bytes=content.align_bytes,
            layer=op_name,
            coded=content.coded,
        )
        image.append(member)
        parts.append(little.tobytes())
        offset += member.size_bytes
    # C knows no empty struct: the image of a network without weights is padding.
    parts.append(bytes(-offset % IMAGE_ALIGN_BYTES if image else IMAGE_ALIGN_BYTES))
    return tuple(image), b"".join(parts)


def _layer(
    index: int,
    graph: Graph,
    item: Lowered,
    c_name: str,
    by_name: dict[str, Member],
    buffers: Buffers,
) -> Call:
    op, draft = item.op, item.draft
    return Call(
        index=index,
        name=op.name,
        c_name=c_name,
        op=op,
        kernel=item.kernel,
        reason=item.reason,
        storage=draft.storage,
        args=draft.args,
        inputs=tuple(buffers.value(name) for name in op.inputs),
        output=buffers.value(op.output),
        scratch=buffers.scratch(op.name, draft.scratch_bytes),
        decoded=buffers.decoded(op.name, draft.decoded_bytes),
        in_shape=graph.value(op.inputs[0]).shape,
        out_shape=graph.value(op.output).shape,
        members={
            content.role: by_name[_member_name(c_name, content)]
            for content in draft.contents
            if content.level is None
        },
        streams=_streams(draft, c_name, by_name),
        levels=draft.levels,
    )


def _streams(draft: Draft, c_name: str, by_name: dict[str, Member]) -> tuple[Stream, ...]:
    by_level: dict[int, dict[str, Member]] = {}
    for content in draft.contents:
        if content.level is not None:
            roles = by_level.setdefault(content.level, {})
            roles[content.role] = by_name[_member_name(c_name, content)]
    return tuple(
        Stream(level, roles["positions"], roles["weights"])
        for level, roles in sorted(by_level.items())
    )


def _levels(graph: Graph, layers: tuple[Call, ...]) -> tuple[ProgramLevel, ...]:
    return tuple(
        ProgramLevel(
            name=level.name,
            sparsity=level.sparsity,
            accuracy=level.accuracy_quantized,
            cost=LevelCost(
                macs=sum(layer.levels[index].macs for layer in layers),
                cycles=sum(layer.levels[index].cycles for layer in layers),
                weight_bytes=sum(layer.levels[index].weight_bytes for layer in layers),
            ),
        )
        for index, level in enumerate(graph.levels)
    )
