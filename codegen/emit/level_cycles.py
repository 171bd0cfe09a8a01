"""The cycles of every level that the generated code knows, and where they come from."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from codegen.errors import UserError
from codegen.kernels.common import cost
from codegen.program.call import LevelCost
from codegen.program.program import Program
from codegen.target import memory_system
from codegen.target.boards import Board
from codegen.target.target import Target

MAX_CYCLES = 2**32 - 1
"""nn_level_info holds an uint32_t."""

UNKNOWN = MAX_CYCLES
"""Of a level on a core without a model: no budget below it is kept."""

UPPER_END = "; upper end"
"""Said of cycles that are the upper end of a range."""

PIPELINE = {"nestnet": 1.2, "cmsis-nn": 1.4}
"""Largest estimate over the analytic model without wait states was 1.09, and 1.15."""

PER_MISS_CYCLE = 0.5
"""More per cycle of a miss, if everything misses: 1.97 with 3 wait states, 6.5 with 12 a line."""

PER_VALIDATED_MISS_CYCLE = 0.13
"""The same in a simulated cache: 1.60 with 5 cycles a miss."""

LAYER_CODE_BYTES = 1000
"""Of a layer: missed once, with its weights, where caches are cold. Tiny networks feel it."""

_SPARSITY_TOLERANCE = 1e-6
_MEASURED = "measured by the board's cycle counter"


@dataclass(frozen=True)
class LevelCycles:
    """What nn_fit_cycles decides by."""

    cycles: tuple[int, ...]
    """Per level, per inference."""
    source: str
    """How they were found, with the error to expect; printed into model.h."""


def analytic(packed: Program) -> LevelCycles:
    """Return what packing reckoned with, times a margin: always there, needs no tool.

    On a core without a model they are :data:`UNKNOWN`. With the margin it stays above the estimate
    (the upper end of a range) of every network it was compared with
    (docs/adr/0003-cycles-in-generated-code.md): a deadline must hold.
    """
    board = packed.target.board
    if not is_modelled(board):
        return LevelCycles((UNKNOWN,) * len(packed.levels), unknown(board))
    layers = len(packed.layers)
    cycles = tuple(bound(level.cost, layers, packed.target) for level in packed.levels)
    margin = safety(packed.target)
    note = "" if board.is_host else f"; times {margin:.2f}, to stay above the pipeline model"
    return LevelCycles(cycles, cost.NAME + note)


def is_modelled(board: Board) -> bool:
    """Return whether the analytic model was compared with an estimate on this core."""
    return board.core.over_m4_ratio is not None


def unknown(board: Board) -> str:
    """Return what is said of cycles on a core without a model."""
    return (
        f"not known ({UNKNOWN}): {board.core.name} has no model, so nn_fit_cycles answers "
        "NN_ERR_BUDGET; give measured ones to nestnet codegen --cycles"
    )


def bound(of: LevelCost, layers: int, target: Target) -> int:
    """Return the cycles on the board that what lowering reckoned with for ``layers`` comes to."""
    board = target.board
    factor = safety(target) * (board.core.over_m4_ratio or 1.0)
    cold = 0.0 if board.is_host else _worst_cycles(board) / _line_bytes(board)
    missed_bytes = of.weight_bytes + LAYER_CODE_BYTES * layers
    return min(round(factor * of.cycles + cold * missed_bytes), MAX_CYCLES)


def _line_bytes(board: Board) -> int:
    return max(board.cache.line_bytes, 4)


def safety(target: Target) -> float:
    """Return the factor from the analytic model to what no estimate exceeded on such a memory."""
    if target.board.is_host:
        return 1.0
    model = memory_system.of_board(target.board)
    missed = PER_MISS_CYCLE if model.validated is None else PER_VALIDATED_MISS_CYCLE
    return PIPELINE[target.kernels] + missed * _worst_cycles(target.board)


def _worst_cycles(board: Board) -> int:
    """Return what one access costs at most, whatever memory it goes to."""
    model = memory_system.of_board(board)
    return max(model.miss_cycles, model.ram_cycles)


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
    path: Path, report: dict[str, Any], packed: Program, graph_sha256: str
) -> LevelCycles:
    """Return the cycles in a report of this very network and board.

    Of a range the upper end is taken: a deadline must hold.

    Raises:
        UserError: the report is of another network or board, or has no cycles.
    """
    board_id = packed.target.board.id
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
        most = usable(level["cycles"])
        if most is None:
            expected = f"1..{MAX_CYCLES} at every level"
            raise _refuse(path, "the report has no usable cycles", level["cycles"], expected)
        cycles.append(most)
    is_range = any(isinstance(level["cycles"], list) for level in report["levels"])
    source = str(report.get("estimator", _MEASURED)) + UPPER_END * is_range
    return LevelCycles(tuple(cycles), source)


def usable(value: object) -> int | None:
    """Return the cycles of a level as read from a file, of a range the most; None if unusable."""
    ends = value if isinstance(value, list) and value else [value]
    known = [end for end in ends if type(end) is int and 0 < end <= MAX_CYCLES]
    return max(known) if len(known) == len(ends) else None


def with_cycles(packed: Program, known: LevelCycles) -> Program:
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
