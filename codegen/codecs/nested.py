"""The nested format: level-major streams of groups; docs/format.md, "The nested format"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codegen.codecs.dense import WORD_ORDER
from codegen.errors import UserError
from codegen.ir import Int8Array, Uint8Array

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
    groups, first_level = _patch_order(weight, group_size, group_level)
    streams = []
    for level in range(levels):
        positions: list[Uint8Array] = []
        weights: list[Int8Array] = []
        for row in range(weight.shape[0]):
            kept = np.flatnonzero(first_level[row] == level)
            advances, source = _segment(kept, group_size)
            values = np.zeros((len(source), group_size), np.int8)
            values[source >= 0] = groups[row, kept[source[source >= 0]]]
            advances[-1] |= LAST
            positions.append(advances.astype(np.uint8))
            weights.append(_interleave(values, group_size))
        streams.append(NestedStream(np.concatenate(positions), np.concatenate(weights)))
    return tuple(streams)


def group_counts(group_size: int, group_level: Uint8Array, levels: int) -> tuple[int, ...]:
    """Return how many groups, dummies included, each level's stream stores.

    The stream takes exactly ``count * (1 + group_size)`` bytes.
    """
    rows = group_level.transpose(0, 2, 1, 3).reshape(group_level.shape[0], -1)
    counts = []
    for level in range(levels):
        count = 0
        for row in rows:
            kept = np.flatnonzero(row == level)
            gaps = np.diff(kept, prepend=0)
            stored = len(kept) + int(np.maximum((gaps - 1) // MAX_ADVANCE, 0).sum())
            stored = max(stored, 1)
            count += stored + stored % 2 if group_size == 2 else stored
        counts.append(count)
    return tuple(counts)


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


def _patch_order(
    weight: Int8Array, group_size: int, group_level: Uint8Array
) -> tuple[Int8Array, Uint8Array]:
    """Return groups (out_c, positions, G) and their levels (out_c, positions)."""
    out_c, kernel_h, kernel_w, in_c = weight.shape
    channels = padded_channels(in_c, group_size)
    patch = np.zeros((out_c, kernel_w, kernel_h, channels), np.int8)
    patch[..., :in_c] = weight.transpose(0, 2, 1, 3)
    order = group_level.transpose(0, 2, 1, 3).reshape(out_c, -1)
    return patch.reshape(out_c, -1, group_size), order


def _segment(kept: IntArray, group_size: int) -> tuple[IntArray, IntArray]:
    """Return the advances of a segment and, per stored group, its index in ``kept`` or -1.

    Args:
        kept: rising positions of the segment's groups.
        group_size: G; at 2 the result has even length.
    """
    gaps = np.diff(kept, prepend=0)
    dummies = np.maximum((gaps - 1) // MAX_ADVANCE, 0)
    end = np.cumsum(dummies + 1) - 1
    stored = max(len(kept) + int(dummies.sum()), 1)
    stored += stored % 2 if group_size == 2 else 0
    used = int(end[-1]) + 1 if len(kept) else 0
    advances = np.zeros(stored, np.int64)
    advances[:used] = MAX_ADVANCE
    advances[end] = gaps - dummies * MAX_ADVANCE
    source = np.full(stored, -1, np.int64)
    source[end] = np.arange(len(kept))
    return advances, source


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
