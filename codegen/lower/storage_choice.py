"""Choose among the ways to compute an operator: which kernel, and how its weights are stored."""

from __future__ import annotations

from collections.abc import Iterable

from codegen.program.draft import Candidate
from codegen.target.target import Optimize

BALANCED_SHARE = 0.05
"""Modelled cycles at the densest level, over the fastest storage's, that ``balanced`` gives up."""


def choose(
    candidates: Iterable[Candidate], optimize: Optimize, room_bytes: int = 0
) -> tuple[Candidate, str]:
    """Return the best candidate under ``optimize`` and why it is, for the report.

    - size: the fewest bytes of weights and positions, of equals the fewest cycles;
    - speed: the fewest cycles, of equals the fewest bytes;
    - balanced: the fewest bytes among those within :data:`BALANCED_SHARE` of the fastest, with what
      it takes to decode them.

    But for size, what is decoded must fit ``room_bytes``, which the arena has free in one piece
    while the layer runs.
    """
    offered = list(candidates)
    fastest = min(item.cycles for item in offered)

    def rank(item: Candidate) -> tuple[float, ...]:
        if optimize == "size":
            return item.stored_bytes, item.cycles
        is_too_large = item.area_bytes > room_bytes
        if optimize == "speed":
            return is_too_large, item.cycles, item.stored_bytes
        is_too_slow = item.cycles > (1 + BALANCED_SHARE) * fastest
        flash_bytes = item.stored_bytes + item.decoding_bytes
        return is_too_large or is_too_slow, flash_bytes, item.cycles

    best, *others = sorted(offered, key=rank)
    reason = f"{best.why}: {best.facts}" if best.facts else best.why
    return best, reason + (f"; next {others[0].facts}" if others else "")
