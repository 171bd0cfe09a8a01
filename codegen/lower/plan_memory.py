"""Assign arena offsets to activations and scratch areas by their lifetimes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import lcm

from codegen.graph.ir import Finding
from codegen.program.draft import Overlap, round_up

ALIGN_BYTES = 8
"""Offsets and the arena's size are multiples of this (NN_ARENA_ALIGN_BYTES)."""

ROUNDS = 100
"""Orders tried after the usual ones, each with the buffer at the arena's end placed earlier."""


@dataclass(frozen=True)
class Request:
    """A buffer the arena has to hold while ops ``first`` .. ``last`` run, both included."""

    name: str
    size_bytes: int
    first: int
    last: int
    over: Mapping[str, Overlap] = field(default_factory=dict)
    """Buffers that die at ``first``, by name, over which this one may lie, and how."""

    def overlaps(self, other: Request) -> bool:
        """Return whether both buffers are alive at some op."""
        return self.first <= other.last and other.first <= self.last

    def rule_over(self, other: Request) -> Overlap | None:
        """Return how this buffer may lie over ``other``, None if not at all."""
        return self.over.get(other.name) if other.last == self.first else None


Near = Mapping[str, Sequence[Request]]
"""By the name of a buffer those that are alive at some op together with it."""


@dataclass(frozen=True)
class Plan:
    """Where each requested buffer lies."""

    offset_bytes: dict[str, int]
    arena_bytes: int
    peak_bytes: tuple[int, ...]
    """Per op, the fewest bytes any plan needs while it runs: the buffers alive, less what its
    output can at most share with inputs that die. No plan's arena is smaller than their maximum."""


def plan(requests: Sequence[Request], op_count: int, rounds: int = ROUNDS) -> Plan:
    """Place every request so that buffers alive together share bytes only as ``over`` allows.

    Greedy: in several orders, put each buffer at the lowest offset that those already placed allow;
    keep the smallest arena. While it is above the lower bound, the buffer that ends it moves to the
    front of the order. :func:`conflicts` proves the result after the step that plans.

    Args:
        requests: buffers with unique names.
        op_count: number of ops the lifetimes index.
        rounds: orders tried after each of the usual ones; more never make the arena larger.
    """
    peaks = fewest_bytes(requests, op_count)
    near = {
        item.name: [other for other in requests if other is not item and other.overlaps(item)]
        for item in requests
    }
    best: dict[str, int] = {}
    for order in (
        sorted(requests, key=lambda item: (-item.size_bytes, item.first, item.name)),
        sorted(requests, key=lambda item: (item.first - item.last, -item.size_bytes, item.name)),
        sorted(requests, key=lambda item: (item.first, -item.size_bytes, item.name)),
        sorted(requests, key=lambda item: (-item.last, -item.size_bytes, item.name)),
    ):
        best = _improve(order, near, best, max(peaks, default=0), rounds)
    return Plan(best, _extent(requests, best), peaks)


def fewest_bytes(requests: Sequence[Request], op_count: int) -> tuple[int, ...]:
    """Return for each op the fewest bytes any plan needs while it runs: :attr:`Plan.peak_bytes`."""
    return tuple(_fewest_bytes(requests, index) for index in range(op_count))


def conflicts(requests: Sequence[Request], result: Plan) -> Iterator[Finding]:
    """Yield what makes a plan unsound: a buffer's name, the broken rule and the value.

    A buffer is missing, misaligned, outside the arena, or shares a byte with one alive at the same
    time where no rule allows it.
    """
    placed = [item for item in requests if item.name in result.offset_bytes]
    for item in requests:
        if item not in placed:
            yield item.name, ("a place in the arena", "none")
    for item in placed:
        begin = result.offset_bytes[item.name]
        end = begin + item.size_bytes
        if begin < 0 or begin % ALIGN_BYTES or end > result.arena_bytes:
            rule = f"on a multiple of {ALIGN_BYTES} and inside {result.arena_bytes} bytes"
            yield item.name, (rule, f"{begin}..{end}")
    for item, other in combinations(placed, 2):
        begin = result.offset_bytes[item.name]
        if not _compatible(item, begin, other, result.offset_bytes[other.name]):
            yield item.name, (f"no byte shared with {other.name}", begin)


def _compatible(item: Request, begin: int, other: Request, other_begin: int) -> bool:
    """Return whether two buffers may lie where they do."""
    if not item.overlaps(other):
        return True
    if begin + item.size_bytes <= other_begin or other_begin + other.size_bytes <= begin:
        return True
    over, under = item.rule_over(other), other.rule_over(item)
    return (over is not None and over.allows(other_begin - begin)) or (
        under is not None and under.allows(begin - other_begin)
    )


def _improve(
    order: Sequence[Request], near: Near, best: dict[str, int], bound: int, rounds: int
) -> dict[str, int]:
    """Return the better of ``best`` and the plans that begin with ``order``."""
    for _ in range(rounds):
        if best and _extent(order, best) == bound:
            break
        offsets = _place(order, near)
        if not best or _extent(order, offsets) < _extent(order, best):
            best = offsets
        last = max(order, key=lambda item: offsets[item.name] + item.size_bytes, default=None)
        if last is None or last is order[0]:
            break
        order = [last, *(item for item in order if item is not last)]
    return best


def _place(order: Sequence[Request], near: Near) -> dict[str, int]:
    """Return the lowest offsets for requests taken in ``order``."""
    offsets: dict[str, int] = {}
    for item in order:
        placed = [
            (other, offsets[other.name]) for other in near[item.name] if other.name in offsets
        ]
        offsets[item.name] = next(
            offset
            for offset in sorted(_candidates(item, placed))
            if all(_compatible(item, offset, *pair) for pair in placed)
        )
    return offsets


def _candidates(item: Request, near: Sequence[tuple[Request, int]]) -> set[int]:
    """Return offsets at which ``item`` touches the arena's start or a buffer placed already."""
    bases = {0} | {begin + round_up(other.size_bytes, ALIGN_BYTES) for other, begin in near}
    found = set(bases)
    for other, begin in near:
        over, under = item.rule_over(other), other.rule_over(item)
        rule = over or under
        if rule is None:
            continue
        grid = lcm(rule.step_bytes, ALIGN_BYTES)
        if under is not None:  # an input may lie so far above its consumer's output
            bases_here = bases | {max(begin + round_up(rule.lead_bytes, grid), 0)}
        else:
            bases_here = bases
        found |= {begin + round_up(base - begin, grid) for base in bases_here}
    return found


def _extent(requests: Sequence[Request], offsets: dict[str, int]) -> int:
    ends = (offsets[item.name] + round_up(item.size_bytes, ALIGN_BYTES) for item in requests)
    return max(ends, default=0)


def _fewest_bytes(requests: Sequence[Request], index: int) -> int:
    """Return the lower bound on the bytes in use while op ``index`` runs."""
    alive = [item for item in requests if item.first <= index <= item.last]
    total = sum(round_up(item.size_bytes, ALIGN_BYTES) for item in alive)
    for item in alive:
        if item.first == index:
            shared = sum(_most_shared(item, other) for other in alive)
            total -= min(shared, round_up(item.size_bytes, ALIGN_BYTES))
    return total


def _most_shared(item: Request, other: Request) -> int:
    """Return the most bytes ``item`` can have in common with ``other``."""
    rule = item.rule_over(other)
    if rule is None:
        return 0
    size, other_size = (round_up(each.size_bytes, ALIGN_BYTES) for each in (item, other))
    distance = round_up(rule.lead_bytes, ALIGN_BYTES)
    if distance <= max(0, size - other_size):
        return min(size, other_size)
    return max(0, size - distance)
