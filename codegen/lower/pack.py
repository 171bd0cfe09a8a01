"""Lower an integer graph: run the passes, choose kernels, plan the arena, lay out the weights."""

from __future__ import annotations

import re
import zlib

import numpy as np

from codegen.formats.storage import ALLOWED
from codegen.graph.ir import Graph, op_inputs
from codegen.lower.buffers import Buffers, Lowered
from codegen.lower.drafts import choose_drafts
from codegen.lower.pipeline import PIPELINES, run_passes
from codegen.program.coding import checked, coding
from codegen.program.lowering import Draft, FieldSpec, Options, Target
from codegen.program.packed import (
    Coded,
    ImageField,
    LayerFields,
    LevelCost,
    Packed,
    PackedLayer,
    PackedLevel,
    Stream,
)

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


def lower(
    graph: Graph,
    *,
    kernels: str = "nestnet",
    optimize: str = "balanced",
    codecs: str = "all",
    decode: str = "inference",
) -> Packed:
    """Return everything code generation needs to know about ``graph``.

    Args:
        graph: as exported; it is verified first.
        kernels: "nestnet", or "cmsis-nn" to hand dense operators to CMSIS-NN.
        optimize: what storage is chosen by, "balanced", "size" or "speed";
            :mod:`codegen.lower.storage_choice`.
        codecs: streams may be coded by "all" codecs, "lz4" alone or not at all ("raw").
        decode: coded streams are decoded at every "inference" or after a change of "level".

    Raises:
        UserError: an unknown choice, a broken rule, or a network that computes nothing.
    """
    target: Target = checked("--kernels", kernels, tuple(PIPELINES))
    choice = coding(optimize, codecs, decode)
    options = Options(target, choice.optimize, ALLOWED[choice.codecs], choice.decode)
    lowered = run_passes(graph, target)
    drafts, buffers = choose_drafts(lowered, options)
    names = tuple(f"layer_{i:02d}_{_identifier(item.op.name)}" for i, item in enumerate(drafts))
    image, image_bytes = _lay_out(drafts, names)
    by_name = {field.name: field for field in image}
    layers = tuple(
        _layer(index, lowered, item, names[index], by_name, buffers)
        for index, item in enumerate(drafts)
    )
    return Packed(
        graph=lowered,
        source=graph,
        kernels=target,
        optimize=choice.optimize,
        codecs=choice.codecs,
        decode=choice.decode,
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


def _field_name(layer_name: str, spec: FieldSpec) -> str:
    suffix = "" if spec.level is None else f"_{spec.level}"
    return f"{layer_name}_{spec.role}{suffix}"


def _lay_out(
    layers: tuple[Lowered, ...], names: tuple[str, ...]
) -> tuple[tuple[ImageField, ...], bytes]:
    """Order all members by alignment, so that none needs padding, and join their bytes."""
    specs = [
        (name, item.op.name, spec)
        for name, item in zip(names, layers, strict=True)
        for spec in item.draft.fields
    ]
    specs.sort(key=lambda entry: -entry[2].align_bytes)
    image: list[ImageField] = []
    parts: list[bytes] = []
    offset = 0
    for layer_name, op_name, spec in specs:
        if offset % spec.align_bytes:
            raise AssertionError(f"{layer_name} {spec.role}: misaligned at {offset}")
        little = np.ascontiguousarray(spec.array).astype(spec.array.dtype.newbyteorder("<"))
        field = ImageField(
            name=_field_name(layer_name, spec),
            role=spec.role,
            c_type=C_TYPES[spec.array.dtype],
            array=spec.array,
            offset_bytes=offset,
            align_bytes=spec.align_bytes,
            layer=op_name,
        )
        image.append(field)
        parts.append(little.tobytes())
        offset += field.size_bytes
    # C knows no empty struct: the image of a network without weights is padding.
    parts.append(bytes(-offset % IMAGE_ALIGN_BYTES if image else IMAGE_ALIGN_BYTES))
    return tuple(image), b"".join(parts)


def _layer(
    index: int,
    graph: Graph,
    item: Lowered,
    c_name: str,
    by_name: dict[str, ImageField],
    buffers: Buffers,
) -> PackedLayer:
    op, draft = item.op, item.draft
    output = graph.value(op.output)
    return PackedLayer(
        index=index,
        name=op.name,
        c_name=c_name,
        op=op,
        kernel=draft.kernel,
        reason=draft.reason,
        storage=draft.storage,
        inputs=tuple(buffers.value(name) for name in op_inputs(op)),
        output=buffers.value(op.output),
        scratch=buffers.scratch(op.name, draft.scratch_bytes),
        decoded=buffers.decoded(op.name, draft.decoded_bytes),
        shape=draft.shape,
        requant=draft.requant,
        add=draft.add,
        cmsis=draft.cmsis,
        group=draft.group,
        groups=draft.groups,
        tile=draft.tile,
        in_shape=graph.value(op_inputs(op)[0]).shape,
        out_shape=output.shape,
        out_zero_point=output.zero_point,
        fields=_layer_fields(draft, c_name, by_name),
        levels=draft.levels,
    )


def _layer_fields(draft: Draft, c_name: str, by_name: dict[str, ImageField]) -> LayerFields:
    single: dict[str, ImageField] = {}
    coded: dict[str, Coded | None] = {}
    streams: dict[int, dict[str, FieldSpec]] = {}
    for spec in draft.fields:
        if spec.level is None:
            single[spec.role] = by_name[_field_name(c_name, spec)]
            coded[spec.role] = spec.coded
        else:
            streams.setdefault(spec.level, {})[spec.role] = spec
    ordered = tuple(
        Stream(
            level,
            by_name[_field_name(c_name, parts["positions"])],
            by_name[_field_name(c_name, parts["weights"])],
            parts["positions"].coded,
            parts["weights"].coded,
        )
        for level, parts in sorted(streams.items())
    )
    return LayerFields(
        multiplier=single.get("multiplier"),
        bias=single.get("bias"),
        bias_delta=single.get("bias_delta"),
        channel_level=single.get("channel_level"),
        residual_multiplier=single.get("residual_multiplier"),
        weights=single.get("weights"),
        coded_weights=coded.get("weights"),
        shift=single.get("shift"),
        add_multiplier=single.get("add_multiplier"),
        add_offset=single.get("add_offset"),
        table=single.get("table"),
        streams=ordered,
    )


def _levels(graph: Graph, layers: tuple[PackedLayer, ...]) -> tuple[PackedLevel, ...]:
    return tuple(
        PackedLevel(
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
