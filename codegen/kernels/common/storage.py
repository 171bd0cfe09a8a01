"""The ways to store a layer's weights, and how the chosen one is laid out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, product
from typing import TypeVar

import numpy as np

from codegen.formats.base import ROLES, Codec, Format, LayerWeights, Role
from codegen.formats.codecs import admitted
from codegen.formats.storage import Form, decoding_bytes, in_format, storage_name
from codegen.graph.ir import Int8Array, Uint8Array
from codegen.graph.weighted import Weighted, effective_levels, level_weight
from codegen.program.call import Coded
from codegen.program.draft import Candidate, Content, Draft, round_up
from codegen.target.target import Decode, Target

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, eq=False)
class Storage:
    """A way to store a layer's weights."""

    form: Form
    codecs: Mapping[Role, Codec]
    """Of each role that the format has."""
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
        return storage_name(self.form.format.name, self.codecs)

    @property
    def per_level(self) -> bool:
        """Return whether each level has streams of its own."""
        return self.form.format.per_level

    @property
    def decoded(self) -> frozenset[str]:
        """Return the names of the codecs that have to be decoded."""
        return frozenset(codec.name for codec in self.codecs.values() if codec.decoder_bytes)


def as_patches(op: Weighted) -> tuple[Int8Array, Uint8Array | None]:
    """Return weights (out_c, kernel_h, kernel_w, in_c) and group levels of the same rank."""
    if op.weight.ndim == 4:
        return op.weight, op.group_level
    level = None if op.group_level is None else op.group_level[:, None, None, :]
    return op.weight[:, None, None, :], level


def storages(op: Weighted, levels: int, form: Format, target: Target) -> Iterator[Storage]:
    """Yield every way to store ``op`` in one format; none if that cannot hold it."""
    weight, group_level = as_patches(op)
    kept = level_weight(op, levels - 1).reshape(weight.shape)
    layer = LayerWeights(kept, op.group_size, group_level, levels, op.stride)
    if not form.holds(layer):
        return
    found = in_format(layer, form, admitted(target.codecs))
    roles = tuple(reversed([role for role in ROLES if role in found.stored_bytes]))
    for codecs in product(*(found.stored_bytes[role] for role in roles)):
        yield _storage(found, dict(zip(roles, codecs, strict=True)), target.decode)


def _storage(form: Form, codecs: Mapping[Role, Codec], decode: Decode) -> Storage:
    area, coded_streams = _Area(), 0
    instructions = [(0.0,) * len(form.of("weights"))]
    for role in ROLES:
        if role not in codecs or not codecs[role].decoder_bytes:
            continue
        streams = form.of(role)
        coded_streams += len(streams)
        for stream in streams:
            area.take(stream.array.nbytes, stream.decoded_align_bytes)
        if decode == "inference":
            instructions.append(tuple(codecs[role].instructions(stream) for stream in streams))
    unit_bytes = form.format.unit_bytes(form.layer)
    units = tuple(stream.array.nbytes // unit_bytes for stream in form.of("weights"))
    return Storage(
        form=form,
        codecs=codecs,
        level_bytes=_by_level(form, [form.stored_bytes[role][codecs[role]] for role in codecs]),
        area_bytes=area.end_bytes,
        decoding_bytes=decoding_bytes(coded_streams),
        units=_by_level(form, [units]),
        channels=form.format.channels(form.layer),
        decode_instructions=_by_level(form, instructions),
    )


def _by_level(form: Form, parts: Sequence[Sequence[Number]]) -> tuple[Number, ...]:
    """Return the sums of ``parts``, each per stream, for what each level reads."""
    totals: list[Number] = [sum(of_stream) for of_stream in zip(*parts, strict=True)]
    return tuple(accumulate(totals)) if form.format.per_level else tuple(totals) * form.layer.levels


def storage_contents(storage: Storage) -> tuple[Content, ...]:
    """Return the image members of a layer's weights as ``storage`` lays them out.

    The decoded area holds the weights of all levels, then their positions: at every level what is
    decoded stays aligned.
    """
    area = _Area()
    offsets = {
        stream: area.take(stream.array.nbytes, stream.decoded_align_bytes)
        for role in ROLES
        if role in storage.codecs and storage.codecs[role].decoder_bytes
        for stream in storage.form.of(role)
    }
    contents = []
    for stream in storage.form.streams:
        if stream not in offsets:
            contents.append(Content(stream.role, stream.array, stream.align_bytes, stream.level))
            continue
        codec = storage.codecs[stream.role]
        stored = np.frombuffer(codec.encode(stream), np.uint8)
        coded = Coded(codec.name, int(stream.array.nbytes), offsets[stream])
        contents.append(Content(stream.role, stored, 1, stream.level, coded))
    return tuple(contents)


@dataclass
class _Area:
    """The decoded area while its streams are laid out."""

    end_bytes: int = 0

    def take(self, size_bytes: int, align_bytes: int) -> int:
        """Return the offset of the next ``size_bytes``."""
        offset = round_up(self.end_bytes, align_bytes)
        self.end_bytes = offset + size_bytes
        return offset


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
        codecs=storage.decoded,
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
