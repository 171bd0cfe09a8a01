"""Choose how a layer's weights are stored and lay them out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TypeVar

import numpy as np

from codegen.formats import dense, nested
from codegen.formats.codecs import deltas, lz4
from codegen.formats.storage import Codec, Form, layer_forms, storage_name
from codegen.graph.ir import Conv2D, Int8Array, Linear, Uint8Array
from codegen.kernels import cost
from codegen.kernels.weighted import as_patches, effective_levels, level_weight
from codegen.program.lowering import FieldSpec, Options, round_up
from codegen.program.packed import Coded

Number = TypeVar("Number", int, float)

BALANCED_SHARE = 0.05
"""Modelled cycles at the densest level, over the fastest storage's, that ``balanced`` gives up."""


@dataclass(frozen=True)
class Storage:
    """A way to store a layer's weights, and once it is chosen, why."""

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
    reason: str = ""

    @property
    def name(self) -> str:
        """Return what it is called in reports."""
        return storage_name(self.nested, self.positions, self.weights)

    def tiles(self, group_size: int) -> Mapping[int, cost.TileCost]:
        """Return the costs of this storage's tiles by output columns."""
        return cost.NESTED[group_size] if self.nested else cost.DENSE


@dataclass(frozen=True)
class _Rated:
    storage: Storage
    cycles: int
    """Modelled, at the densest level."""

    @property
    def stored_bytes(self) -> int:
        return self.storage.level_bytes[-1]

    def __str__(self) -> str:
        storage = self.storage
        extra = f" and {storage.decoding_bytes} to decode them" if storage.decoding_bytes else ""
        return f"{storage.name} {self.stored_bytes} bytes{extra}, {self.cycles} modelled cycles"


def choose_storage(
    op: Conv2D | Linear, levels: int, options: Options, cycles: Callable[[Storage], int]
) -> Storage:
    """Return the best correct storage of ``op`` under ``options.optimize``.

    A layer whose levels differ can only be nested: dense weights hold one level.

    - size: the fewest bytes of weights and positions, of equals the fewest cycles;
    - speed: the fewest cycles, of equals the fewest bytes;
    - balanced: the fewest bytes among those within :data:`BALANCED_SHARE` of the fastest, with what
      it takes to decode them.

    But for size, what is decoded must fit the bytes that the arena has free beside the layer.

    Args:
        op: an ungrouped convolution or a linear layer.
        levels: number of levels.
        options: what to optimize and the admitted codecs.
        cycles: modelled cycles of a storage at the densest level.
    """
    rated = [_Rated(storage, cycles(storage)) for storage in _storages(op, levels, options)]
    fastest = min(item.cycles for item in rated)

    def rank(item: _Rated) -> tuple[float, ...]:
        if options.optimize == "size":
            return item.stored_bytes, item.cycles
        is_too_large = item.storage.area_bytes > options.room_bytes
        if options.optimize == "speed":
            return is_too_large, item.cycles, item.stored_bytes
        is_too_slow = item.cycles > (1 + BALANCED_SHARE) * fastest
        flash_bytes = item.stored_bytes + item.storage.decoding_bytes
        return is_too_large or is_too_slow, flash_bytes, item.cycles

    best, *others = sorted(rated, key=rank)
    reason = f"{_why(op)}: {best}" + (f"; next {others[0]}" if others else "")
    return replace(best.storage, reason=reason)


def _why(op: Conv2D | Linear) -> str:
    if op.group_level is None:
        return "dense at every level"
    return "levels differ" if effective_levels(op) - {0} else "all levels share one weight set"


def _storages(op: Conv2D | Linear, levels: int, options: Options) -> Iterator[Storage]:
    """Yield every form of ``op`` in every admitted codec."""
    weight, group_level = _patches(op, levels)
    stride = op.stride if isinstance(op, Conv2D) else (1, 1)
    forms = layer_forms(weight, op.group_size, group_level, levels, options.codecs, stride)
    for form in forms:
        no_positions: tuple[Codec, ...] = ("raw",)
        for positions in form.positions or no_positions:
            for weights in form.weights:
                yield _storage(op, levels, form, positions, weights, options)


def _patches(op: Conv2D | Linear, levels: int) -> tuple[Int8Array, Uint8Array | None]:
    """Return the kept weights (out_c, kernel_h, kernel_w, in_c) and the groups' levels."""
    weight, group_level = as_patches(op)
    return level_weight(op, levels - 1).reshape(weight.shape), group_level


def _storage(
    op: Conv2D | Linear,
    levels: int,
    form: Form,
    positions: Codec,
    weights: Codec,
    options: Options,
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
        if options.decode == "inference":
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
    op: Conv2D | Linear, form: Form, codec: Codec, is_positions: bool
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


def storage_fields(op: Conv2D | Linear, levels: int, storage: Storage) -> tuple[FieldSpec, ...]:
    """Return the image members of ``op``'s weights as ``storage`` lays them out.

    The decoded area holds the weights of all levels, then their positions: at every level what is
    decoded stays aligned.
    """
    weight, group_level = _patches(op, levels)
    area = _Area()
    if not storage.nested:
        rows = dense.encode(weight, storage.channels)
        return (_field("weights", rows, 4, storage.weights, area),)
    assert group_level is not None
    streams = nested.encode(weight, op.group_size, group_level, levels)
    order = nested.position_order(group_level)
    align = 1 if op.group_size == 1 else 4
    weights = [
        _field("weights", stream.weights, align, storage.weights, area, level)
        for level, stream in enumerate(streams)
    ]
    positions = [
        _field("positions", stream.positions, 1, storage.positions, area, level, order == level)
        for level, stream in enumerate(streams)
    ]
    return tuple(field for pair in zip(positions, weights, strict=True) for field in pair)


@dataclass
class _Area:
    """The decoded area while its streams are laid out."""

    end_bytes: int = 0

    def take(self, size_bytes: int, align_bytes: int) -> int:
        """Return the offset of the next ``size_bytes``."""
        offset = round_up(self.end_bytes, align_bytes)
        self.end_bytes = offset + size_bytes
        return offset


def _field(
    role: str,
    stream: Int8Array | Uint8Array,
    align_bytes: int,
    codec: Codec,
    area: _Area,
    level: int | None = None,
    present: deltas.BoolArray | None = None,
) -> FieldSpec:
    """Return the image member of a stream, or of its code; ``present`` is what deltas encode."""
    if codec == "raw":
        return FieldSpec(role, stream, align_bytes, level)
    if codec == "lz4":
        stored = lz4.encode(stream.tobytes())
    else:
        assert present is not None
        stored = deltas.encode(present)
    offset = area.take(stream.nbytes, 4 if role == "weights" else 1)
    coded = Coded(codec, int(stream.nbytes), offset)
    return FieldSpec(role, np.frombuffer(stored, np.uint8), 1, level, coded)
