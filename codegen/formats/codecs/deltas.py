"""Positions as the gaps before present groups, in codes of one width; docs/format.md, "deltas".

Source: relative indexing with filler, S. Han, H. Mao, W. J. Dally, "Deep Compression",
arXiv 1510.00149, section 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codegen.errors import UserError
from codegen.formats import nested
from codegen.formats.base import Codec, Stream
from codegen.graph.ir import Uint8Array

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

WIDTHS = range(1, 8)
"""Bits a code may have; with at most 7, a gap of one code is an advance of one position byte."""

CODE_INSTRUCTIONS = 11.3
"""Per code; one that names a group also writes a byte."""

ROW_INSTRUCTIONS = 51.0
"""Per output channel."""


def encode(present: BoolArray) -> bytes:
    """Return the code of one level's map of groups.

    Args:
        present: shape (rows, count), where the level adds a group; positions in patch order.
    """
    gaps = _gaps(present)
    width = _width(gaps)
    skip = (1 << width) - 1
    ends = np.cumsum(gaps // skip + 1)
    codes = np.zeros(int(ends[-1]) if len(ends) else 0, np.int64)
    codes[ends - 1] = gaps % skip + 1
    bits = (codes[:, None] >> np.arange(width) & 1).astype(np.uint8)
    return bytes([width]) + np.packbits(bits, bitorder="little").tobytes()


def size_bytes(present: BoolArray) -> int:
    """Return the length of :func:`encode`'s result without making it."""
    gaps = _gaps(present)
    width = _width(gaps)
    return 1 + -(-width * _codes(gaps, width) // 8)


def code_count(present: BoolArray) -> int:
    """Return how many codes :func:`encode` stores, those that name no group included."""
    gaps = _gaps(present)
    return _codes(gaps, _width(gaps))


def decode(stored: bytes, rows: int, count: int, group_size: int) -> Uint8Array:
    """Return the position bytes of a code: what :func:`codegen.formats.nested.encode` makes.

    Args:
        stored: the code.
        rows: output channels.
        count: positions of one row's patch.
        group_size: G.

    Raises:
        UserError: the code is damaged: its width is unknown, a group lies outside the map, or it
            does not end right after the last group's code.
    """
    width = stored[0] if stored else 0
    if width not in WIDTHS:
        raise _damaged(f"a width of {width} bits", f"{WIDTHS[0]} to {WIDTHS[-1]}")
    bits = np.unpackbits(np.frombuffer(stored, np.uint8, offset=1), bitorder="little")
    whole = len(bits) // width
    codes = bits[: whole * width].reshape(whole, width).astype(np.int64) @ (1 << np.arange(width))
    names = codes != 0
    used_bits = (int(np.flatnonzero(names)[-1]) + 1 if names.any() else 0) * width
    if len(bits) - used_bits >= 8 or bits[used_bits:].any():
        raise _damaged(f"{len(bits) - used_bits} bits left over", "fewer than 8, all zeros")
    places = np.cumsum(np.where(names, codes, (1 << width) - 1))[names] - 1
    if len(places) and places[-1] >= rows * count:
        raise _damaged(f"a group at {places[-1]}", f"below {rows * count}")
    present = np.zeros(rows * count, np.bool_)
    present[places] = True
    return nested.walk(present.reshape(rows, count), group_size).positions


def _gaps(present: BoolArray) -> IntArray:
    """Return the absent places before each group, since the last one or the begin."""
    gaps: IntArray = np.diff(np.flatnonzero(present), prepend=-1) - 1
    return gaps


def _codes(gaps: IntArray, width: int) -> int:
    """Return how many codes of ``width`` bits the gaps take."""
    return len(gaps) + int((gaps // ((1 << width) - 1)).sum())


def _width(gaps: IntArray) -> int:
    """Return the width with the fewest bits; of equals the larger, which has fewer codes."""
    return min(reversed(WIDTHS), key=lambda width: width * _codes(gaps, width))


def _damaged(got: str, expected: str) -> UserError:
    return UserError(
        "coded positions",
        "damaged",
        got=got,
        expected=expected,
        action="Generate the weights again",
    )


class Deltas(Codec):
    """The gaps between the groups of a level."""

    name = "deltas"
    roles = ("positions",)
    decoder_bytes = 430
    byte_instructions = 4.6

    def encode(self, stream: Stream) -> bytes:
        """Return the codes of the map that the positions stand for."""
        return encode(_map(stream))

    def size_bytes(self, stream: Stream) -> int:
        """Return the length of the codes without making them."""
        return size_bytes(_map(stream))

    def instructions(self, stream: Stream) -> float:
        """Return the instructions of decoding."""
        present = _map(stream)
        instructions = self.byte_instructions * stream.array.nbytes
        instructions += CODE_INSTRUCTIONS * code_count(present)
        return instructions + ROW_INSTRUCTIONS * len(present)


def _map(stream: Stream) -> BoolArray:
    assert stream.present is not None
    return stream.present


CODEC = Deltas()
