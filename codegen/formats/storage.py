"""Exact flash bytes of weights, without planning a network; used by training and by codegen.

A layer's execution form is dense or nested; each role of a form, its weights and its positions, has
one codec on all levels. What is chosen here by bytes alone is what ``--optimize size`` stores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from codegen.errors import UserError
from codegen.formats import dense, nested
from codegen.formats.codecs import deltas, lz4
from codegen.graph.ir import NEVER, Allowed, Int8Array, Uint8Array

Codec = Literal["raw", "lz4", "deltas"]

ALLOWED: Mapping[Allowed, tuple[Codec, ...]] = {
    "all": ("raw", "lz4", "deltas"),
    "lz4": ("raw", "lz4"),
    "raw": ("raw",),
}
"""What ``--codecs`` may say and the codecs it admits, cheapest to decode first."""


class LayerBytes(NamedTuple):
    """The smallest storage of a layer."""

    stored_bytes: int
    """Weights and positions of all levels; tables are not in it."""
    storage: str
    """As in "dense", "dense, weights lz4", "nested, positions deltas"."""


@dataclass(frozen=True)
class Form:
    """What the streams of one execution form take in each codec; per level if nested."""

    nested: bool
    weights: Mapping[Codec, tuple[int, ...]]
    positions: Mapping[Codec, tuple[int, ...]]
    """Empty for a dense form."""
    channels: int
    """Input channels with padding."""
    codes: tuple[int, ...] = ()
    """Per level, the codes that deltas store; empty where they are not admitted."""

    def smallest(self) -> LayerBytes:
        """Return the fewest bytes of this form; of equals, what decodes faster."""
        weights = min(self.weights, key=lambda codec: sum(self.weights[codec]))
        positions: Codec = "raw"
        stored = sum(self.weights[weights])
        if self.positions:
            positions = min(self.positions, key=lambda codec: sum(self.positions[codec]))
            stored += sum(self.positions[positions])
        return LayerBytes(stored, storage_name(self.nested, positions, weights))


def storage_name(is_nested: bool, positions: Codec, weights: Codec) -> str:
    """Return what a storage is called in reports, such as "nested, positions deltas"."""
    words = ["nested" if is_nested else "dense"]
    words += [f"positions {positions}"] * (positions != "raw")
    words += [f"weights {weights}"] * (weights != "raw")
    return ", ".join(words)


def allowed_codecs(codecs: str) -> tuple[Codec, ...]:
    """Return the codecs that a value of ``--codecs`` admits.

    Raises:
        UserError: there is no such value.
    """
    for name, admitted in ALLOWED.items():
        if codecs == name:
            return admitted
    raise UserError(
        "--codecs",
        "unknown codecs",
        got=codecs,
        expected=" or ".join(ALLOWED),
        action="Choose one of them",
    )


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
        weight: (out_c, kernel_h, kernel_w, in_c / groups); a linear layer's with kernel 1x1.
        group_size: G of the nested groups, 1, 2 or 4; 1 for a layer without levels.
        group_level: (out_c, kernel_h, kernel_w, ceil(in_c / G)), the first level with each group;
            None for a layer that is dense at every level.
        levels: number of levels.
        codecs: "all", "lz4" or "raw".
        stride: vertical and horizontal; an odd dense layer may need a padding channel for it.
        groups: convolution groups; with more than one, depthwise included, weights lie as they are.

    Raises:
        UserError: unknown ``codecs``.
    """
    admitted = allowed_codecs(codecs)
    if groups > 1:
        return LayerBytes(int(weight.size), "plain")
    forms = layer_forms(weight, group_size, group_level, levels, admitted, stride)
    return min((form.smallest() for form in forms), key=lambda found: found.stored_bytes)


def layer_forms(
    weight: Int8Array,
    group_size: int,
    group_level: Uint8Array | None,
    levels: int,
    admitted: Sequence[Codec],
    stride: tuple[int, int] = (1, 1),
) -> tuple[Form, ...]:
    """Return every form that can hold the layer with the sizes of its streams.

    Dense rows hold one weight set: where levels differ, a layer can only be nested. Arguments as
    for :func:`layer_bytes`, of an ungrouped layer.
    """
    found = (
        dense_form(weight, group_level, admitted, stride),
        nested_form(weight, group_size, group_level, levels, admitted),
    )
    return tuple(form for form in found if form is not None)


def dense_form(
    weight: Int8Array,
    group_level: Uint8Array | None,
    admitted: Sequence[Codec],
    stride: tuple[int, int] = (1, 1),
) -> Form | None:
    """Return the layer as dense rows; None where levels differ. Arguments as for layer_forms."""
    if group_level is not None and not np.isin(group_level, (0, NEVER)).all():
        return None
    channels = dense.padded_channels(weight.shape[3], weight.shape[1], stride)
    rows = dense.encode(weight, channels)
    in_codec: dict[Codec, tuple[int, ...]] = {
        codec: (_size(rows, codec),) for codec in admitted if codec != "deltas"
    }
    return Form(False, in_codec, {}, channels)


def nested_form(
    weight: Int8Array,
    group_size: int,
    group_level: Uint8Array | None,
    levels: int,
    admitted: Sequence[Codec],
) -> Form | None:
    """Return the layer as nested streams; None without levels. Arguments as for layer_forms."""
    if group_level is None:
        return None
    streams = nested.encode(weight, group_size, group_level, levels)
    positions: dict[Codec, tuple[int, ...]] = {}
    weights: dict[Codec, tuple[int, ...]] = {}
    code_counts: tuple[int, ...] = ()
    for codec in admitted:
        if codec == "deltas":
            order = nested.position_order(group_level)
            maps = [order == level for level in range(levels)]
            positions[codec] = tuple(deltas.size_bytes(present) for present in maps)
            code_counts = tuple(deltas.code_count(present) for present in maps)
        else:
            positions[codec] = tuple(_size(stream.positions, codec) for stream in streams)
            weights[codec] = tuple(_size(stream.weights, codec) for stream in streams)
    channels = nested.padded_channels(weight.shape[3], group_size)
    return Form(True, weights, positions, channels, code_counts)


def _size(stream: Int8Array | Uint8Array, codec: Codec) -> int:
    return len(lz4.encode(stream.tobytes())) if codec == "lz4" else int(stream.nbytes)


def table_bytes(out_c: int, levels: int, residual: bool) -> int:
    """Return the bytes of a layer's requantization tables, all levels; docs/format.md.

    Args:
        out_c: output channels.
        levels: number of levels.
        residual: whether the epilogue adds a second input.
    """
    multipliers, biases, bias_deltas = 2 * levels, 2, levels - 1
    return out_c * (multipliers + biases + bias_deltas) + (4 * levels if residual else 0)
