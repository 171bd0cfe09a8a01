"""Price a trace on the Cortex-M4: one instruction at a time, three pipeline stages.

The rules, with their sources, are in docs/cycles.md ("Cortex-M4"). Zero wait states: the memory
models add what fetches and loads cost beyond that.
"""

from __future__ import annotations

from dataclasses import dataclass

from codegen.measure.pipelines.decode import FIRST_FLOAT, Instruction, Kind
from codegen.measure.pipelines.trace import Trace

REFILL_CYCLES = 2
"""Pipeline refill after a taken branch; the architecture manual allows 1 to 3."""
DIVIDE_CYCLES = 6
"""SDIV and UDIV take 2 to 12, depending on the operands."""
FP_DIVIDE_CYCLES = 14
FP_MAC_CYCLES = 3
LOAD_PC_CYCLES = 5
TABLE_BRANCH_CYCLES = 6
WIDE_RUN = 3
"""This many 32-bit instructions in a row, off the word grid, cost a fetch cycle."""


@dataclass(frozen=True)
class CortexM4:
    """The Cortex-M4 pipeline at zero wait states."""

    name: str = "cortex-m4"
    validated: str = (
        "against 6 published cycle counts of an STM32F4 at 24 MHz (mean error 1.1 %, largest "
        "2.7 %) and 12 of an STM32L4R5 at 120 MHz (mean 4.3 %, largest 10.5 %)"
    )
    error_percent: float = 10.0
    mispredict_cycles: int = 0

    def cycles(self, trace: Trace) -> float:
        """Return the cycles of ``trace``, which starts after a jump."""
        total = 0
        previous: Instruction | None = None
        jumped = True
        wide_run = 0
        for instruction, taken in trace:
            if jumped:
                wide_run = 0
            misplaced = instruction.size == 4 and instruction.address % 4 == 2
            wide_run = wide_run + 1 if misplaced else 0
            total += _cycles(instruction, previous, taken)
            total += int(jumped and misplaced) + int(wide_run == WIDE_RUN)
            jumped = taken
            previous = instruction
        return float(total)


def _cycles(instruction: Instruction, previous: Instruction | None, taken: bool) -> int:
    """Return what ``instruction`` adds after ``previous``."""
    kind = instruction.kind
    if kind in (Kind.BRANCH, Kind.TABLE_BRANCH):
        if kind is Kind.TABLE_BRANCH:
            return TABLE_BRANCH_CYCLES
        return 1 + (REFILL_CYCLES if taken else 0)
    if kind is Kind.LOAD:
        if taken:
            return LOAD_PC_CYCLES
        return _load_cycles(instruction, previous)
    if kind is Kind.STORE:
        return _store_cycles(instruction, previous)
    if kind in (Kind.LOAD_MULTIPLE, Kind.STORE_MULTIPLE):
        return 1 + instruction.words + (REFILL_CYCLES if taken else 0)
    if kind is Kind.IT:
        return 0 if previous is not None and previous.size == 2 else 1
    return _compute_cycles(instruction, previous)


def _load_cycles(load: Instruction, previous: Instruction | None) -> int:
    if load.is_float:
        return 1 + load.access_bytes // 4
    if previous is None:
        return 2
    if _pipelined_load(previous):
        return 1 if not previous.writes & load.address_reads else 2
    return 2 + int(previous.kind is Kind.STORE) + _address_stall(load, previous)


def _store_cycles(store: Instruction, previous: Instruction | None) -> int:
    if store.is_float:
        return 1 + store.access_bytes // 4
    own = 2 if store.indexed else 1
    if previous is None:
        return own
    if _pipelined_load(previous) and not previous.writes & store.address_reads:
        return own - 1
    return own + _address_stall(store, previous)


def _pipelined_load(instruction: Instruction) -> bool:
    return instruction.kind is Kind.LOAD and not instruction.is_float and not instruction.writes_pc


def _address_stall(access: Instruction, previous: Instruction) -> int:
    """Return 1 if the instruction just before computed an address register."""
    computed = previous.kind not in (Kind.LOAD, Kind.STORE, Kind.LOAD_MULTIPLE, Kind.STORE_MULTIPLE)
    return int(computed and bool(previous.writes & access.address_reads))


def _compute_cycles(instruction: Instruction, previous: Instruction | None) -> int:
    kind = instruction.kind
    if kind is Kind.DIVIDE:
        return DIVIDE_CYCLES
    if kind is Kind.FP_DIVIDE:
        own = FP_DIVIDE_CYCLES
    elif kind is Kind.FP_MAC:
        own = FP_MAC_CYCLES
    else:
        own = 1
    return own + _float_stall(instruction, previous)


def _float_stall(instruction: Instruction, previous: Instruction | None) -> int:
    """Return 1 if a floating-point result is used by the very next instruction."""
    if previous is None or previous.kind not in (Kind.FP_ALU, Kind.FP_MAC, Kind.FP_DIVIDE):
        return 0
    used = previous.writes & instruction.reads
    return int(any(register >= FIRST_FLOAT for register in used))
