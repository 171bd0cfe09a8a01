"""Exact flash bytes of weights, without planning a network; used by training and by codegen.

A layer's execution form is dense or nested; each role of a form, its weights and its positions, has
one codec on all levels. What is chosen here by bytes alone is what ``--optimize size`` stores.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from codegen import formats
from codegen.formats.base import ROLES, Codec, Format, LayerWeights, Role, Stream
from codegen.formats.codecs import CODECS, admitted
from codegen.graph.ir import Int8Array, Uint8Array

IMAGE_ALIGN_BYTES = 4
"""The weight image is a whole number of words."""

CODED_STREAM_BYTES = 16
"""Flash of one coded stream's sizes and addresses (nn_coded)."""

CODED_LAYER_BYTES = 100
"""Flash of what calls the decoders for a layer, beside :data:`CODED_STREAM_BYTES`."""


def _formats() -> tuple[Format, ...]:
    names = (entry.name for entry in pkgutil.iter_modules(formats.__path__) if not entry.ispkg)
    modules = [importlib.import_module(f"{formats.__name__}.{name}") for name in names]
    return tuple(module.FORMAT for module in modules if hasattr(module, "FORMAT"))


FORMATS: tuple[Format, ...] = _formats()
"""What is a format is a file beside this one, and nothing lists it."""


class LayerBytes(NamedTuple):
    """The smallest storage of a layer."""

    stored_bytes: int
    """Weights and positions of all levels; tables are not in it."""
    storage: str
    """As in "dense", "dense, weights lz4", "nested, positions deltas"."""


@dataclass(frozen=True, eq=False)
class Form:
    """A layer in one format, and what its streams take in each codec."""

    format: Format
    layer: LayerWeights
    streams: tuple[Stream, ...]
    stored_bytes: Mapping[Role, Mapping[Codec, tuple[int, ...]]]
    """Of each role that the format has, in each codec that can store it: per stream."""

    def of(self, role: Role) -> tuple[Stream, ...]:
        """Return the streams of one role."""
        return tuple(stream for stream in self.streams if stream.role == role)

    def smallest(self) -> LayerBytes:
        """Return the fewest bytes of this form; of equals, what decodes faster."""
        totals = {
            role: {codec: sum(sizes) for codec, sizes in in_codec.items()}
            for role, in_codec in self.stored_bytes.items()
        }
        best = {role: min(sizes, key=sizes.__getitem__) for role, sizes in totals.items()}
        stored = sum(totals[role][codec] for role, codec in best.items())
        return LayerBytes(stored, storage_name(self.format.name, best))


def storage_name(form: str, codecs: Mapping[Role, Codec]) -> str:
    """Return what a storage is called in reports, such as "nested, positions deltas"."""
    coded = [
        f"{role} {codecs[role].name}"
        for role in reversed(ROLES)
        if role in codecs and codecs[role].decoder_bytes
    ]
    return ", ".join([form, *coded])


def layer_bytes(
    weight: Int8Array,
    group_size: int,
    group_level: Uint8Array | None,
    levels: int,
    codecs: str = "all",
    *,
    stride: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> LayerBytes:
    """Return the fewest bytes a layer's weights and positions can be stored in.

    Args:
        weight: (out_c, kernel_h, kernel_w, in_c / groups).
        group_size: as in :class:`codegen.formats.base.LayerWeights`, like the next three.
        group_level: the levels of the groups.
        levels: number of levels.
        codecs: a word of ``--codecs``.
        stride: of the convolution.
        groups: convolution groups; with more than one, depthwise included, weights lie as they are.

    Raises:
        UserError: unknown ``codecs``.
    """
    usable = admitted(codecs)
    if groups > 1:
        return LayerBytes(int(weight.size), "plain")
    layer = LayerWeights(weight, group_size, group_level, levels, stride)
    forms = (in_format(layer, each, usable) for each in FORMATS if each.holds(layer))
    return min((form.smallest() for form in forms), key=lambda found: found.stored_bytes)


def in_format(layer: LayerWeights, form: Format, codecs: Sequence[Codec] = CODECS) -> Form:
    """Return ``layer`` in a format that holds it."""
    streams = form.encode(layer)
    stored: dict[Role, dict[Codec, tuple[int, ...]]] = {}
    for role in ROLES:
        of_role = [stream for stream in streams if stream.role == role]
        if of_role:
            stored[role] = {
                codec: tuple(codec.size_bytes(stream) for stream in of_role)
                for codec in codecs
                if role in codec.roles
            }
    return Form(form, layer, streams, stored)


def decoding_bytes(coded_streams: int) -> int:
    """Return the flash of what tells the decoders about a layer with so many coded streams."""
    return CODED_LAYER_BYTES + CODED_STREAM_BYTES * coded_streams if coded_streams else 0


def table_bytes(out_c: int, levels: int, residual: bool) -> int:
    """Return the bytes of a layer's requantization tables, all levels; docs/format.md.

    Args:
        out_c: output channels.
        levels: number of levels.
        residual: whether the epilogue adds a second input.
    """
    multipliers, biases, bias_deltas = 2 * levels, 2, levels - 1
    return out_c * (multipliers + biases + bias_deltas) + (4 * levels if residual else 0)
