"""The ways to store a layer's weights, and how the chosen one is laid out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

import numpy as np

from codegen.formats import dense, nested
from codegen.formats.codecs import deltas, lz4
from codegen.formats.storage import ALLOWED, Codec, Form, dense_form, nested_form, storage_name
from codegen.graph.ir import Int8Array, Uint8Array
from codegen.graph.weighted import Weighted, effective_levels, level_weight
from codegen.kernels.common import cost
from codegen.program.call import Coded
from codegen.program.draft import Candidate, Content, Draft, round_up
from codegen.target.target import Target

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Storage:
    """A way to store a layer's weights."""

    nested: bool
    positions: Codec
    """"raw" if there are none."""
    weights: Codec
    level_bytes: tuple[int, ...]
    """Stored bytes of weights and positions each level reads."""
    area_bytes: int
    """Arena bytes that all decoded streams together take; 0 if none is coded."""
    decoding_bytes: int
    """Flash of what tells the decoders about this layer."""
    units: tuple[int, ...]
    """Stored units each level walks: groups, or words of four dense weights; all channels."""
    channels: int
    """Input channels of the patch buffer."""
    decode_instructions: tuple[float, ...]
    """Modelled, of decoding each level in one inference."""

    @property
    def name(self) -> str:
        """Return what it is called in reports."""
        return storage_name(self.nested, self.positions, self.weights)


def as_patches(op: Weighted) -> tuple[Int8Array, Uint8Array | None]:
    """Return weights (out_c, kernel_h, kernel_w, in_c) and group levels of the same rank."""
    if op.weight.ndim == 4:
        return op.weight, op.group_level
    level = None if op.group_level is None else op.group_level[:, None, None, :]
    return op.weight[:, None, None, :], level


def dense_storages(op: Weighted, levels: int, target: Target) -> Iterator[Storage]:
    """Yield every way to store ``op`` as dense rows; none where levels differ."""
    weight, group_level = _patches(op, levels)
    form = dense_form(weight, group_level, ALLOWED[target.codecs], op.stride)
    yield from _storages(op, levels, form, target)


def nested_storages(op: Weighted, levels: int, target: Target) -> Iterator[Storage]:
    """Yield every way to store ``op`` as nested streams; none without levels."""
    weight, group_level = _patches(op, levels)
    form = nested_form(weight, op.group_size, group_level, levels, ALLOWED[target.codecs])
    yield from _storages(op, levels, form, target)


def _storages(op: Weighted, levels: int, form: Form | None, target: Target) -> Iterator[Storage]:
    """Yield ``form`` in every admitted codec."""
    if form is None:
        return
    no_positions: tuple[Codec, ...] = ("raw",)
    for positions in form.positions or no_positions:
        for weights in form.weights:
            yield _storage(op, levels, form, positions, weights, target)


def _patches(op: Weighted, levels: int) -> tuple[Int8Array, Uint8Array | None]:
    """Return the kept weights (out_c, kernel_h, kernel_w, in_c) and the groups' levels."""
    weight, group_level = as_patches(op)
    return level_weight(op, levels - 1).reshape(weight.shape), group_level


def _storage(
    op: Weighted,
    levels: int,
    form: Form,
    positions: Codec,
    weights: Codec,
    target: Target,
) -> Storage:
    repeat = 1 if form.nested else levels
    stored: list[tuple[int, ...]] = []
    instructions: list[tuple[float, ...]] = [(0.0,) * levels]
    area, coded_streams = _Area(), 0
    for codec, table in ((weights, form.weights), (positions, form.positions)):
        if table:
            stored.append(table[codec] * repeat)
        if codec == "raw":
            continue
        is_positions = table is form.positions
        if target.decode == "inference":
            instructions.append(_decode_instructions(op, form, codec, is_positions) * repeat)
        for size in table["raw"]:
            coded_streams += 1
            area.take(size, 1 if is_positions else 4)
    unit_bytes = op.group_size if form.nested else 4
    return Storage(
        nested=form.nested,
        positions=positions,
        weights=weights,
        level_bytes=_up_to_level(stored, form.nested),
        area_bytes=area.end_bytes,
        decoding_bytes=cost.decoding_bytes(coded_streams),
        units=_up_to_level(
            [tuple(size // unit_bytes for size in form.weights["raw"] * repeat)], form.nested
        ),
        channels=form.channels,
        decode_instructions=_up_to_level(instructions, form.nested),
    )


def _decode_instructions(
    op: Weighted, form: Form, codec: Codec, is_positions: bool
) -> tuple[float, ...]:
    """Return the modelled instructions of decoding each stream of one role."""
    sizes = (form.positions if is_positions else form.weights)["raw"]
    if codec == "lz4":
        return tuple(cost.lz4_instructions(size, is_positions) for size in sizes)
    rows = op.weight.shape[0]
    return tuple(
        cost.deltas_instructions(size, codes, rows)
        for size, codes in zip(sizes, form.codes, strict=True)
    )


def _up_to_level(parts: Sequence[Sequence[Number]], is_nested: bool) -> tuple[Number, ...]:
    """Return the sums of ``parts`` per level; a nested level also takes all levels below it."""
    totals = [sum(of_level) for of_level in zip(*parts, strict=True)]
    return tuple(accumulate(totals)) if is_nested else tuple(totals)


def storage_contents(op: Weighted, levels: int, storage: Storage) -> tuple[Content, ...]:
    """Return the image members of ``op``'s weights as ``storage`` lays them out.

    The decoded area holds the weights of all levels, then their positions: at every level what is
    decoded stays aligned.
    """
    weight, group_level = _patches(op, levels)
    area = _Area()
    if not storage.nested:
        rows = dense.encode(weight, storage.channels)
        return (_content("weights", rows, 4, storage.weights, area),)
    assert group_level is not None
    streams = nested.encode(weight, op.group_size, group_level, levels)
    order = nested.position_order(group_level)
    align = 1 if op.group_size == 1 else 4
    weights = [
        _content("weights", stream.weights, align, storage.weights, area, level)
        for level, stream in enumerate(streams)
    ]
    positions = [
        _content("positions", stream.positions, 1, storage.positions, area, level, order == level)
        for level, stream in enumerate(streams)
    ]
    return tuple(content for pair in zip(positions, weights, strict=True) for content in pair)


@dataclass
class _Area:
    """The decoded area while its streams are laid out."""

    end_bytes: int = 0

    def take(self, size_bytes: int, align_bytes: int) -> int:
        """Return the offset of the next ``size_bytes``."""
        offset = round_up(self.end_bytes, align_bytes)
        self.end_bytes = offset + size_bytes
        return offset


def _content(
    role: str,
    stream: Int8Array | Uint8Array,
    align_bytes: int,
    codec: Codec,
    area: _Area,
    level: int | None = None,
    present: deltas.BoolArray | None = None,
) -> Content:
    """Return the image member of a stream, or of its code; ``present`` is what deltas encode."""
    if codec == "raw":
        return Content(role, stream, align_bytes, level)
    if codec == "lz4":
        stored = lz4.encode(stream.tobytes())
    else:
        assert present is not None
        stored = deltas.encode(present)
    offset = area.take(stream.nbytes, 4 if role == "weights" else 1)
    coded = Coded(codec, int(stream.nbytes), offset)
    return Content(role, np.frombuffer(stored, np.uint8), 1, level, coded)


def storage_candidate(
    kernel: str, op: Weighted, storage: Storage, cycles: int, draft: Callable[[], Draft]
) -> Candidate:
    """Return ``kernel`` on ``storage``, which takes ``cycles`` at the densest level."""
    extra = f" and {storage.decoding_bytes} to decode them" if storage.decoding_bytes else ""
    stored = storage.level_bytes[-1]
    return Candidate(
        kernel=kernel,
        draft=draft,
        why=_why(op),
        facts=f"{storage.name} {stored} bytes{extra}, {cycles} modelled cycles",
        storage=storage.name,
        codecs=frozenset({storage.positions, storage.weights}) - {"raw"},
        cycles=cycles,
        stored_bytes=stored,
        area_bytes=storage.area_bytes,
        decoding_bytes=storage.decoding_bytes,
    )


def _why(op: Weighted) -> str:
    """Return what decides which forms can hold the weights of ``op``."""
    if op.group_level is None:
        return "dense at every level"
    return "levels differ" if effective_levels(op) - {0} else "all levels share one weight set"
