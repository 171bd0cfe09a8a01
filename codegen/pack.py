"""Lower an integer graph: run the passes, choose kernels, plan the arena, lay out the weights."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from codegen.coding import checked, coding
from codegen.errors import UserError
from codegen.ir import Graph, Op, Reshape, op_inputs
from codegen.lowering import Draft, FieldSpec, Options, Target
from codegen.oprule import rule_of
from codegen.overlap import Overlap
from codegen.packed import (
    Buffer,
    Coded,
    Decode,
    ImageField,
    LayerFields,
    LevelCost,
    Packed,
    PackedLayer,
    PackedLevel,
    Place,
    Stream,
)
from codegen.pipeline import PIPELINES, run_passes
from codegen.plan_decoded import plan_with_areas, room_bytes
from codegen.plan_memory import Plan, Request
from codegen.sizing import ALLOWED

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
        optimize: what storage is chosen by, "balanced", "size" or "speed"; :mod:`codegen.choose`.
        codecs: streams may be coded by "all" codecs, "lz4" alone or not at all ("raw").
        decode: coded streams are decoded at every "inference" or after a change of "level".

    Raises:
        UserError: an unknown choice, a broken rule, or a network that computes nothing.
    """
    target: Target = checked("--kernels", kernels, tuple(PIPELINES))
    choice = coding(optimize, codecs, decode)
    options = Options(target, choice.optimize, ALLOWED[choice.codecs], choice.decode)
    lowered = run_passes(graph, target)
    drafts, buffers = _choose(lowered, options)
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


def _choose(graph: Graph, options: Options) -> tuple[tuple[_Lowered, ...], _Buffers]:
    """Return every layer's draft, and the arena; but for size no coding makes the arena larger."""
    plain = _drafts(graph, replace(options, codecs=("raw",)))
    if options.optimize == "size":
        drafts = _drafts(graph, options)
        return drafts, _Buffers(graph, drafts, options.decode)
    without = _Buffers(graph, plain, options.decode)
    if options.codecs == ("raw",):
        return plain, without
    rooms = {
        item.op.name: without.room_bytes(index) if options.decode == "inference" else 0
        for index, item in enumerate(plain)
    }
    coded = _drafts(graph, options, rooms)
    drafts = tuple(
        there if there.draft.scratch_bytes <= here.draft.scratch_bytes else here
        for here, there in zip(plain, coded, strict=True)
    )
    buffers = _Buffers(graph, drafts, options.decode)
    if buffers.plan.arena_bytes > without.plan.arena_bytes:
        return plain, without
    return drafts, buffers


def _drafts(
    graph: Graph, options: Options, rooms: Mapping[str, int] | None = None
) -> tuple[_Lowered, ...]:
    """Return the draft of every op that computes, given the free arena bytes beside each."""
    lowered = []
    for op in graph.ops:
        room = (rooms or {}).get(op.name, 0)
        draft = rule_of(op).lower(op, graph, replace(options, room_bytes=room))
        if draft is not None:
            lowered.append(_Lowered(op, draft))
    return tuple(lowered)


@dataclass(frozen=True, eq=False)
class _Lowered:
    op: Op
    draft: Draft


def _identifier(name: str) -> str:
    """Return ``name``, or its end if it is long, without what C identifiers cannot hold."""
    return re.sub(r"[^a-z0-9_]+", "_", name.lower())[-NAME_CHARACTERS:].strip("_")


class _Buffers:
    """Where each value and scratch area lives; values linked by reshapes share a buffer."""

    def __init__(self, graph: Graph, layers: tuple[_Lowered, ...], decode: Decode) -> None:
        self.graph = graph
        self.root: dict[str, str] = {value.name: value.name for value in graph.values}
        for op in graph.ops:
            if isinstance(op, Reshape):
                self.root[op.output] = self.root[op.input]
        self.input_root, self.output_root = self.root[graph.input], self.root[graph.output]
        if self.input_root == self.output_root:
            raise UserError(
                f"network {graph.name}",
                "it computes nothing",
                got="only reshapes",
                expected="an operator between input and output",
                action="Add a layer",
            )
        self.requests = self._requests(layers)
        areas = _decoded_areas(layers, decode)
        self.plan: Plan = plan_with_areas(self.requests, areas, len(layers))

    def value(self, name: str) -> Buffer:
        """Return the buffer of a value."""
        root = self.root[name]
        size = prod(self.graph.value(name).shape)
        place: Place = "arena"
        if root == self.input_root:
            place = "input"
        elif root == self.output_root:
            place = "output"
        offset = self.plan.offset_bytes[root] if place == "arena" else 0
        return Buffer(name, place, offset, size)

    def scratch(self, layer: str, size_bytes: int) -> Buffer | None:
        """Return a layer's scratch area, None if it takes none."""
        if not size_bytes:
            return None
        return self._area(_scratch_name(layer), size_bytes)

    def decoded(self, layer: str, size_bytes: int) -> Buffer | None:
        """Return where a layer's coded streams are decoded, None if it has none."""
        return self._area(_decoded_name(layer), size_bytes) if size_bytes else None

    def room_bytes(self, index: int) -> int:
        """Return the arena bytes free while layer ``index`` runs, in one piece."""
        return room_bytes(self.requests, self.plan, index)

    def _area(self, name: str, size_bytes: int) -> Buffer:
        return Buffer(name, "arena", self.plan.offset_bytes[name], size_bytes)

    def _requests(self, layers: tuple[_Lowered, ...]) -> list[Request]:
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        requests = []
        for index, item in enumerate(layers):
            first[self.root[item.op.output]] = index
            for name in (item.op.output, *op_inputs(item.op)):
                last[self.root[name]] = index
            if item.draft.scratch_bytes:
                name = _scratch_name(item.op.name)
                requests.append(Request(name, item.draft.scratch_bytes, index, index))
        for root in first:
            if root not in (self.input_root, self.output_root):
                size = prod(self.graph.value(root).shape)
                over = self._over(layers[first[root]], first[root], last)
                requests.append(Request(root, size, first[root], last[root], over))
        return requests

    def _over(self, item: _Lowered, index: int, last: dict[str, int]) -> dict[str, Overlap]:
        """Return the buffers that layer ``index`` reads last and may write its output over."""
        over: dict[str, Overlap] = {}
        forbidden: set[str] = set()
        overlaps = item.draft.overlaps
        for position, name in enumerate(op_inputs(item.op)):
            root = self.root[name]
            rule = overlaps[position] if position < len(overlaps) else None
            if rule is None or root == self.input_root or last[root] != index:
                forbidden.add(root)
            else:
                over[root] = rule.both(over.get(root, rule))
        return {root: rule for root, rule in over.items() if root not in forbidden}


def _scratch_name(layer: str) -> str:
    return f"{layer}.scratch"


def _decoded_name(layer: str) -> str:
    return f"{layer}.decoded"


def _decoded_areas(layers: tuple[_Lowered, ...], decode: Decode) -> list[Request]:
    """Return a request per layer with coded streams: while it runs, or always."""
    return [
        Request(
            _decoded_name(item.op.name),
            item.draft.decoded_bytes,
            index if decode == "inference" else 0,
            index if decode == "inference" else len(layers) - 1,
        )
        for index, item in enumerate(layers)
        if item.draft.decoded_bytes
    ]


def _field_name(layer_name: str, spec: FieldSpec) -> str:
    suffix = "" if spec.level is None else f"_{spec.level}"
    return f"{layer_name}_{spec.role}{suffix}"


def _lay_out(
    layers: tuple[_Lowered, ...], names: tuple[str, ...]
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
    parts.append(bytes(-offset % IMAGE_ALIGN_BYTES))
    return tuple(image), b"".join(parts)


def _layer(
    index: int,
    graph: Graph,
    item: _Lowered,
    c_name: str,
    by_name: dict[str, ImageField],
    buffers: _Buffers,
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
