"""Assign arena offsets to activations and scratch areas by their lifetimes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codegen.lowering import round_up

ALIGN_BYTES = 8
"""Offsets and the arena's size are multiples of this (NN_ARENA_ALIGN_BYTES)."""


@dataclass(frozen=True)
class Request:
    """A buffer the arena has to hold while ops ``first`` .. ``last`` run, both included."""

    name: str
    size_bytes: int
    first: int
    last: int

    def overlaps(self, other: Request) -> bool:
        """Return whether both buffers are alive at some op."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Plan:
    """Where each requested buffer lies."""

    offset_bytes: dict[str, int]
    arena_bytes: int
    peak_bytes: tuple[int, ...]
    """Per op, the bytes alive while it runs; no plan's arena is smaller than their maximum."""


def plan(requests: Sequence[Request], op_count: int) -> Plan:
    """Place every request so that buffers alive together never overlap.

    Greedy: in several orders, put each buffer at the lowest gap among those already placed that it
    overlaps in time; keep the smallest arena. The result is proven by :func:`check`.

    Args:
        requests: buffers with unique names.
        op_count: number of ops the lifetimes index.
    """
    orders = (
        sorted(requests, key=lambda item: (-item.size_bytes, item.first, item.name)),
        sorted(requests, key=lambda item: (item.first - item.last, -item.size_bytes, item.name)),
        sorted(requests, key=lambda item: (item.first, -item.size_bytes, item.name)),
        sorted(requests, key=lambda item: (-item.last, -item.size_bytes, item.name)),
    )
    best = min((_place(order) for order in orders), key=lambda offsets: _extent(requests, offsets))
    peaks = tuple(
        sum(
            round_up(item.size_bytes, ALIGN_BYTES)
            for item in requests
            if item.first <= index <= item.last
        )
        for index in range(op_count)
    )
    result = Plan(best, _extent(requests, best), peaks)
    check(requests, result)
    return result


def check(requests: Sequence[Request], result: Plan) -> None:
    """Prove that a plan is sound.

    Raises:
        AssertionError: a buffer is missing, misaligned, outside the arena, or shares a byte with
            one alive at the same time. This is a defect of :func:`plan`, not a user's mistake.
    """
    for index, item in enumerate(requests):
        begin = result.offset_bytes[item.name]
        end = begin + item.size_bytes
        if begin < 0 or begin % ALIGN_BYTES or end > result.arena_bytes:
            raise AssertionError(f"{item.name} at {begin}..{end} of {result.arena_bytes}")
        for other in requests[index + 1 :]:
            other_begin = result.offset_bytes[other.name]
            apart = end <= other_begin or other_begin + other.size_bytes <= begin
            if item.overlaps(other) and not apart:
                raise AssertionError(f"{item.name} and {other.name} share bytes")


def _place(order: Sequence[Request]) -> dict[str, int]:
    """Return first-fit offsets for requests taken in ``order``."""
    offsets: dict[str, int] = {}
    placed: list[Request] = []
    for item in order:
        size = round_up(item.size_bytes, ALIGN_BYTES)
        taken = sorted(
            (offsets[other.name], offsets[other.name] + round_up(other.size_bytes, ALIGN_BYTES))
            for other in placed
            if other.overlaps(item)
        )
        offset = 0
        for begin, end in taken:
            if offset + size <= begin:
                break
            offset = max(offset, end)
        offsets[item.name] = offset
        placed.append(item)
    return offsets


def _extent(requests: Sequence[Request], offsets: dict[str, int]) -> int:
    ends = (offsets[item.name] + round_up(item.size_bytes, ALIGN_BYTES) for item in requests)
    return max(ends, default=0)
