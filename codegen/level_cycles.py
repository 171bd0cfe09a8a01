"""The cycles of every level that the generated code knows, and where they come from."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from codegen import cost
from codegen.errors import UserError
from codegen.packed import Packed

MAX_CYCLES = 2**32 - 1
"""nn_level_info holds an uint32_t."""

_SPARSITY_TOLERANCE = 1e-6
_MEASURED = "measured by the board's cycle counter"


@dataclass(frozen=True)
class LevelCycles:
    """What nn_fit_cycles decides by."""

    cycles: tuple[int, ...]
    """Per level, per inference."""
    source: str
    """How they were found, with the error to expect; printed into model.h."""


def analytic(packed: Packed, core: str) -> LevelCycles:
    """Return what packing reckoned with: always there, needs no tool, far less exact."""
    factor = cost.CORE_FACTOR.get(core, 1.0)
    cycles = tuple(min(round(factor * level.cost.cycles), MAX_CYCLES) for level in packed.levels)
    return LevelCycles(cycles, cost.NAME)


def read(path: Path) -> dict[str, Any]:
    """Read a report of ``nestnet bench --json`` or ``nestnet run --json``.

    Raises:
        UserError: the file cannot be read or is no such report.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        well_formed = isinstance(report["board"], str) and all(
            isinstance(level["sparsity"], float | int) and "cycles" in level
            for level in report["levels"]
        )
        if not well_formed:
            raise ValueError("other content")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _refuse(path, "not a report with cycles", type(error).__name__, _EXPECTED) from error
    found: dict[str, Any] = report
    return found


def from_report(
    path: Path, report: dict[str, Any], packed: Packed, board_id: str, graph_sha256: str
) -> LevelCycles:
    """Return the cycles in a report of this very network and board.

    Of a range the upper end is taken: a deadline must hold.

    Raises:
        UserError: the report is of another network or board, or has no cycles.
    """
    if report["board"] != board_id:
        raise _refuse(path, "the report is of another board", report["board"], board_id)
    if report.get("graph_sha256", graph_sha256) != graph_sha256:
        raise _refuse(path, "the report is of another network", "another hash", graph_sha256)
    found = [float(level["sparsity"]) for level in report["levels"]]
    wanted = [level.sparsity for level in packed.levels]
    if len(found) != len(wanted) or any(
        abs(a - b) > _SPARSITY_TOLERANCE for a, b in zip(found, wanted, strict=True)
    ):
        raise _refuse(path, "the report has other levels", _percent(found), _percent(wanted))
    cycles: list[int] = []
    for level in report["levels"]:
        value = level["cycles"]
        ends = value if isinstance(value, list) and value else [value]
        if not all(type(end) is int and 0 < end <= MAX_CYCLES for end in ends):
            expected = f"1..{MAX_CYCLES} at every level"
            raise _refuse(path, "the report has no usable cycles", value, expected)
        cycles.append(max(ends))
    is_range = any(isinstance(level["cycles"], list) for level in report["levels"])
    source = str(report.get("estimator", _MEASURED)) + ("; upper end" if is_range else "")
    return LevelCycles(tuple(cycles), source)


def with_cycles(packed: Packed, known: LevelCycles) -> Packed:
    """Return ``packed`` with these cycles for its levels."""
    levels = tuple(
        replace(level, cost=replace(level.cost, cycles=cycles))
        for level, cycles in zip(packed.levels, known.cycles, strict=True)
    )
    return replace(packed, levels=levels)


_EXPECTED = "JSON written by `nestnet bench --json`, or by `nestnet run --json` on a board"


def _percent(shares: list[float]) -> str:
    return "sparsity " + ", ".join(f"{share:.2%}" for share in shares)


def _refuse(path: Path, what: str, got: object, expected: object) -> UserError:
    return UserError(
        str(path),
        what,
        got=got,
        expected=expected,
        action="Measure this network on this board: nestnet bench --board NAME --json FILE",
    )
