"""Figures of a bench as plain data: one number, or the two ends of a range."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from codegen.target.manifest import StorageFacts
from codegen.target.memory_system import Span


def storage_record(facts: StorageFacts) -> dict[str, Any]:
    """Return plain data for a JSON file, the bytes per kept weight included."""
    per_weight = facts.bytes_per_kept_weight
    rounded = None if per_weight is None else round(per_weight, 4)
    return {**asdict(facts), "bytes_per_kept_weight": rounded}


def plain(span: Span | None) -> int | list[int] | None:
    """Return one number, or [fewest, most] for the range of a model that was not validated."""
    if span is None:
        return None
    return span.low if span.low == span.high else [span.low, span.high]


def share(part: Span | None, whole: Span | None) -> float | None:
    """Return ``part`` as a share of ``whole``; ranges count with their middle."""
    if whole is None:
        return None
    total = whole.low + whole.high
    return None if part is None or not total else round((part.low + part.high) / total, 5)


def per_cycle(macs: int, cycles: Span | None) -> float | list[float] | None:
    """Return multiply-accumulates per cycle, [fewest, most] for a range."""
    if cycles is None or not cycles.low:
        return None
    high, low = (round(macs / end, 4) for end in (cycles.low, cycles.high))
    return high if cycles.low == cycles.high else [low, high]
