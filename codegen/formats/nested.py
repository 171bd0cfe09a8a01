"""The nested format: level-major streams of groups; docs/format.md, "The nested format"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codegen.errors import UserError
from codegen.formats.base import Format, LayerWeights, Stream
from codegen.formats.dense import WORD_ORDER
from codegen.graph.ir import Int8Array, Uint8Array

MAX_ADVANCE = 127
"""Largest step of one position byte; longer gaps are bridged by dummy groups."""

LAST = 0x80
"""Bit of a position byte that marks the last group of its segment."""

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class NestedStream:
    """The groups one level adds, all output channels after each other."""

    positions: Uint8Array
    """Shape (groups,)."""
    weights: Int8Array
    """Shape (groups * G,), interleaved as kernels read them."""

    @property
    def size_bytes(self) -> int:
        """Return the flash both arrays take."""
        return self.positions.size + self.weights.size


def padded_channels(in_c: int, group_size: int) -> int:
    """Return the channels a nested layer's patch buffer holds."""
    return -(-in_c // group_size) * group_size


def encode(
    weight: Int8Array, group_size: int, group_level: Uint8Array, levels: int
) -> tuple[NestedStream, ...]:
    """Store a layer as one stream per level.

    Args:
        weight: shape (out_c, kernel_h, kernel_w, in_c).
        group_size: G, 1, 2 or 4.
        group_level: shape (out_c, kernel_h, kernel_w, ceil(in_c / G)): first level with the group.
        levels: number of levels.
    """
    groups = _patch_order(weight, group_size)
    first_level = position_order(group_level)
    streams = []
    for level in range(levels):
        present = first_level == level
        stored = walk(present, group_size)
        values = np.zeros((len(stored.positions), group_size), np.int8)
        values[stored.places] = groups[present]
        streams.append(NestedStream(stored.positions, _interleave(values, group_size)))
    return tuple(streams)


@dataclass(frozen=True, eq=False)
class Walk:
    """The stored groups of one level, dummies included, in order."""

    positions: Uint8Array
    """Position bytes, shape (stored,)."""
    places: IntArray
    """Index of each real group among the stored ones, shape (groups,), rising."""


def walk(present: NDArray[np.bool_], group_size: int) -> Walk:
    """Return how the groups of a map (rows, count) in patch order are stored; G is 1, 2 or 4."""
    rows, count = present.shape
    flat = np.flatnonzero(present)
    row = flat // count
    column = flat - row * count
    first = np.diff(row, prepend=-1) > 0
    gaps = np.where(first, column, np.diff(column, prepend=0))
    dummies = np.maximum((gaps - 1) // MAX_ADVANCE, 0)
    used = np.bincount(row, dummies + 1, minlength=rows).astype(np.int64)
    stored = np.maximum(used, 1)
    if group_size == 2:
        stored += stored % 2
    row_end = np.cumsum(stored)
    padding = np.cumsum(stored - used) - (stored - used)
    places = np.cumsum(dummies + 1) - 1 + padding[row]
    advances = np.full(int(row_end[-1]), MAX_ADVANCE, np.uint8)
    for extra in (1, 2):
        advances[row_end[stored - used >= extra] - extra] = 0
    advances[places] = gaps - dummies * MAX_ADVANCE
    advances[row_end - 1] |= LAST
    return Walk(advances, places)


def decode(
    stream: NestedStream, shape: tuple[int, int, int, int], group_size: int
) -> tuple[Int8Array, NDArray[np.bool_]]:
    """Return one level's weights of ``shape`` and which groups the stream names.

    A dummy group is named too if no real group shares its position; its weights are zero.

    Returns:
        Weights (out_c, kernel_h, kernel_w, in_c), zero where the stream has no group, and a map
        (out_c, kernel_h, kernel_w, ceil(in_c / G)).

    Raises:
        UserError: the stream is damaged: its sizes disagree, a position leaves the patch, a
            segment is missing or left over, or a padding channel has a weight.
    """
    out_c, kernel_h, kernel_w, in_c = shape
    channels = padded_channels(in_c, group_size)
    count = kernel_h * kernel_w * channels // group_size
    values = _deinterleave(stream, group_size)
    patch = np.zeros((out_c, count, group_size), np.int8)
    named = np.zeros((out_c, count), np.bool_)
    ends = np.flatnonzero(stream.positions & LAST)
    if len(ends) != out_c or (len(ends) and ends[-1] != len(stream.positions) - 1):
        raise _damaged("segments", got=len(ends), expected=out_c)
    begin = 0
    for row, end in enumerate(ends):
        segment = slice(begin, int(end) + 1)
        position = np.cumsum((stream.positions[segment] & MAX_ADVANCE).astype(np.int64))
        if position[-1] >= count:
            raise _damaged("position", got=int(position[-1]), expected=f"below {count}")
        np.add.at(patch[row], position, values[segment])
        named[row, position] = True
        begin = int(end) + 1
    full = patch.reshape(out_c, kernel_w, kernel_h, channels).transpose(0, 2, 1, 3)
    if full[..., in_c:].any():
        raise _damaged("weights of padding channels", got="non-zero", expected="zeros")
    group_map = named.reshape(out_c, kernel_w, kernel_h, -1).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(full[..., :in_c]), np.ascontiguousarray(group_map)


def _damaged(what: str, *, got: object, expected: object) -> UserError:
    return UserError(
        "nested stream",
        f"wrong {what}",
        got=got,
        expected=expected,
        action="Generate the weights again",
    )


def position_order(group_level: Uint8Array) -> Uint8Array:
    """Return the levels of groups (out_c, kernel_h, kernel_w, n) as (out_c, positions)."""
    return group_level.transpose(0, 2, 1, 3).reshape(group_level.shape[0], -1)


def _patch_order(weight: Int8Array, group_size: int) -> Int8Array:
    """Return the groups of (out_c, kernel_h, kernel_w, in_c) as (out_c, positions, G)."""
    out_c, kernel_h, kernel_w, in_c = weight.shape
    channels = padded_channels(in_c, group_size)
    patch = np.zeros((out_c, kernel_w, kernel_h, channels), np.int8)
    patch[..., :in_c] = weight.transpose(0, 2, 1, 3)
    return patch.reshape(out_c, -1, group_size)


def _interleave(groups: Int8Array, group_size: int) -> Int8Array:
    """Return (groups, G) as the bytes kernels read."""
    if group_size == 4:
        return groups[:, list(WORD_ORDER)].reshape(-1)
    if group_size == 2:
        return groups.reshape(-1, 2, 2).transpose(0, 2, 1).reshape(-1)
    return groups.reshape(-1)


def _deinterleave(stream: NestedStream, group_size: int) -> Int8Array:
    """Return the stored groups, shape (groups, G)."""
    count = len(stream.positions)
    if stream.weights.shape != (count * group_size,) or (group_size == 2 and count % 2):
        raise _damaged("sizes", got=stream.weights.shape, expected=(count * group_size,))
    if group_size == 4:
        return stream.weights.reshape(-1, 4)[:, np.argsort(WORD_ORDER)]
    if group_size == 2:
        pairs = stream.weights.reshape(-1, 2, 2).transpose(0, 2, 1)
        return pairs.reshape(-1, 2)
    return stream.weights.reshape(-1, 1)


class Nested(Format):
    """Streams of the groups that each level adds."""

    name = "nested"
    per_level = True

    def holds(self, layer: LayerWeights) -> bool:
        """Return whether the layer has levels."""
        return layer.group_level is not None

    def channels(self, layer: LayerWeights) -> int:
        """Return the channels of the patch buffer."""
        return padded_channels(layer.weight.shape[3], layer.group_size)

    def unit_bytes(self, layer: LayerWeights) -> int:
        """Return the weights of a group."""
        return layer.group_size

    def encode(self, layer: LayerWeights) -> tuple[Stream, ...]:
        """Return positions and weights of each level."""
        assert layer.group_level is not None
        streams = encode(layer.weight, layer.group_size, layer.group_level, layer.levels)
        order = position_order(layer.group_level)
        align = 1 if layer.group_size == 1 else 4
        found: list[Stream] = []
        for level, stream in enumerate(streams):
            found.append(Stream("positions", stream.positions, 1, level, order == level))
            found.append(Stream("weights", stream.weights, align, level))
        return tuple(found)


FORMAT = Nested()
