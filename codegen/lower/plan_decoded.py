"""Find room in a planned arena for the areas that coded streams are decoded into."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.lower.plan_memory import ALIGN_BYTES, Plan, Request, plan
from codegen.program.draft import round_up


def room_bytes(requests: Sequence[Request], planned: Plan, index: int) -> int:
    """Return the largest piece of the arena that no buffer uses while op ``index`` runs."""
    gaps = _gaps(requests, planned, index)
    return max(end - begin for begin, end in (*gaps, (0, 0)))


def plan_with_areas(requests: Sequence[Request], areas: Sequence[Request], op_count: int) -> Plan:
    """Plan ``requests`` and decoded areas together.

    Areas of one op each are also tried in the gaps that the plan of the requests alone leaves:
    what :func:`room_bytes` of that plan admits never makes the arena larger.

    Args:
        requests: buffers with unique names.
        areas: of one op each, no two of the same; or alive during all ops.
        op_count: number of ops the lifetimes index.
    """
    if not areas:
        return plan(requests, op_count)
    together = plan([*requests, *areas], op_count)
    if any(area.first != area.last for area in areas):
        return together
    alone = plan(requests, op_count)
    offsets, arena_bytes = dict(alone.offset_bytes), alone.arena_bytes
    for area in areas:
        size = round_up(area.size_bytes, ALIGN_BYTES)
        gaps = _gaps(requests, alone, area.first)
        fitting = [gap for gap in gaps if gap[1] - gap[0] >= size]
        if fitting:
            begin = min(fitting, key=lambda gap: gap[1] - gap[0])[0]
        else:
            begin = gaps[-1][0] if gaps and gaps[-1][1] == alone.arena_bytes else alone.arena_bytes
        offsets[area.name] = begin
        arena_bytes = max(arena_bytes, begin + size)
    apart = Plan(offsets, arena_bytes, together.peak_bytes)
    return min(apart, together, key=lambda planned: planned.arena_bytes)


def _gaps(requests: Sequence[Request], planned: Plan, index: int) -> list[tuple[int, int]]:
    """Return the aligned pieces of the arena no request uses while op ``index`` runs."""
    taken = sorted(
        (planned.offset_bytes[item.name], planned.offset_bytes[item.name] + item.size_bytes)
        for item in requests
        if item.first <= index <= item.last
    )
    gaps, cursor = [], 0
    for begin, end in (*taken, (planned.arena_bytes, planned.arena_bytes)):
        if begin > cursor:
            gaps.append((cursor, begin))
        cursor = max(cursor, round_up(end, ALIGN_BYTES))
    return gaps
