"""Positions as Rice-coded runs of absent and present groups; docs/format.md, "Coded streams".

Source of the code: R. F. Rice, "Some practical universal noiseless coding techniques", JPL 79-22.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from codegen.codecs import nested
from codegen.errors import UserError
from codegen.ir import Uint8Array

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

PARAMETERS = np.arange(16)
"""The k that the four bits of the header can hold."""


def encode(present: BoolArray) -> bytes:
    """Return the code of one level's map of groups.

    Args:
        present: shape (rows, count), where the level adds a group; positions in patch order.
    """
    values = _run_values(present)
    absent_k, present_k = (int(_code_bits(values[parity::2]).argmin()) for parity in (0, 1))
    k = np.full(len(values), absent_k)
    k[1::2] = present_k
    quotient = values >> k
    length = quotient + 1 + k
    end = np.cumsum(length)
    bits = np.zeros(int(end[-1]), np.uint8)
    bits[end - k - 1] = 1
    for bit in range(int(k.max())):
        has = k > bit
        bits[end[has] - 1 - bit] = values[has] >> bit & 1
    return bytes([absent_k | present_k << 4]) + np.packbits(bits).tobytes()


def size_bytes(present: BoolArray) -> int:
    """Return the length of :func:`encode`'s result without making it."""
    values = _run_values(present)
    bits = sum(int(_code_bits(values[parity::2]).min()) for parity in (0, 1))
    return 1 + -(-bits // 8)


def run_count(present: BoolArray) -> int:
    """Return how many runs :func:`encode` stores, an absent one of length 0 included."""
    return len(_run_values(present))


def decode(stored: bytes, rows: int, count: int, group_size: int) -> Uint8Array:
    """Return the position bytes of a code: what :func:`codegen.codecs.nested.encode` makes.

    Args:
        stored: the code.
        rows: output channels.
        count: positions of one row's patch.
        group_size: G.

    Raises:
        UserError: the code is damaged: it ends early or late, or describes another number of bits.
    """
    if not stored:
        raise _damaged("no byte", "a header")
    bits = np.unpackbits(np.frombuffer(stored, np.uint8, offset=1))
    ones = np.flatnonzero(bits).tolist()
    present = np.zeros(rows * count, np.bool_)
    cursor = place = index = 0
    while place < len(present):
        k = stored[0] >> 4 if index % 2 else stored[0] & 15
        following = bisect_left(ones, cursor)
        if following == len(ones) or ones[following] + k >= len(bits):
            raise _damaged("an end inside a run", "more bytes")
        low = ones[following] + 1
        length = ones[following] - cursor
        for bit in bits[low : low + k].tolist():
            length = 2 * length + bit
        length += index > 0
        if place + length > len(present):
            raise _damaged(f"a run to bit {place + length}", f"{len(present)} bits")
        present[place : place + length] = index % 2 == 1
        cursor, place, index = low + k, place + length, index + 1
    if len(bits) - cursor >= 8 or bits[cursor:].any():
        raise _damaged(f"{len(bits) - cursor} bits left over", "fewer than 8, all zero")
    return nested.walk(present.reshape(rows, count), group_size).positions


def _run_values(present: BoolArray) -> IntArray:
    """Return the numbers to be coded: absent and present runs alternating, absent first."""
    flat = present.reshape(-1)
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]) + 1, len(flat))
    lengths = np.diff(ends, prepend=0)
    if flat[0]:
        lengths = np.insert(lengths, 0, 0)
    lengths[1:] -= 1
    return lengths


def _code_bits(values: IntArray) -> IntArray:
    """Return the bits that all ``values`` take with each Rice parameter."""
    quotients: IntArray = (values >> PARAMETERS[:, None]).sum(axis=1)
    return quotients + len(values) * (1 + PARAMETERS)


def _damaged(got: str, expected: str) -> UserError:
    return UserError(
        "coded positions",
        "damaged",
        got=got,
        expected=expected,
        action="Generate the weights again",
    )
