"""Price a trace on the Cortex-M7: two slots, issued in order, with result latencies.

The rules, with their sources, are in docs/cycles.md ("Cortex-M7"). Every cycle issues an older and
possibly a younger instruction. An instruction issues once its sources are ready for the stage that
takes them; the younger one joins the older one only if no rule forbids the pair. Zero wait states,
every branch predicted: memory models and :mod:`codegen.measure.pipelines.estimate` add the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from codegen.measure.pipelines.decode import FLAGS, PC, Instruction, Kind
from codegen.measure.pipelines.trace import Trace

DIVIDE_CYCLES = 7
FP_DIVIDE_CYCLES = 16
FP_ROOT_CYCLES = 14
FP_CYCLES = 3
FP_MAC_CYCLES = 5
FP_TO_CORE_CYCLES = 3


class Use(Enum):
    """The stage of the pipeline that takes a source register."""

    ADDRESS = auto()
    SHIFTED = auto()
    MULTIPLIER = auto()
    ACCUMULATOR = auto()
    STORE_DATA = auto()
    DATA = auto()
    BRANCH = auto()


@dataclass(frozen=True)
class CortexM7:
    """The Cortex-M7 pipeline at zero wait states (tightly coupled memory or warm caches)."""

    name: str = "cortex-m7"
    validated: str = (
        "against 8 published cycle counts of an STM32F746 at 216 MHz and an STM32H7A3 at 280 MHz "
        "(mean error 2.2 %, largest 4.9 %)"
    )
    error_percent: float = 15.0
    mispredict_cycles: int = 8

    def cycles(self, trace: Trace) -> float:
        """Return the cycles of ``trace``.

        Two loads through unrelated pointers meet in the same memory bank half of the time: the
        result is the mean of a run where they always do and one where they never do.
        """
        optimistic, guessed = _run(trace, conflict=False)
        if not guessed:
            return float(optimistic)
        pessimistic, _ = _run(trace, conflict=True)
        return (optimistic + pessimistic) / 2


class Pairing(Enum):
    """Whether two neighbours may issue in one cycle."""

    YES = auto()
    NO = auto()
    UNKNOWN_BANK = auto()
    """Two loads whose addresses the code does not relate."""


def _run(trace: Trace, *, conflict: bool) -> tuple[int, bool]:
    """Issue ``trace``; return its cycles and whether an unknown bank mattered."""
    written: dict[int, tuple[Instruction, int]] = {}
    cycle = 0  # of the latest issue
    older: Instruction | None = None  # issued in ``cycle``, its younger slot still free
    free_at = 0  # first cycle with both slots free
    guessed = False
    for instruction, taken in trace:
        ready = 0
        for register in instruction.reads & written.keys():
            producer, issued = written[register]
            ready = max(ready, issued + latency(producer, instruction, register))
        pair = Pairing.NO
        if older is not None and ready <= cycle:
            pair = pairing(older, instruction)
            guessed = guessed or pair is Pairing.UNKNOWN_BANK
        joins = pair is Pairing.YES or (pair is Pairing.UNKNOWN_BANK and not conflict)
        if not joins:
            cycle = max(free_at, ready)
        older = None if joins else instruction
        last_cycle = cycle + issue_cycles(instruction) - 1
        if taken or last_cycle > cycle:
            older = None
        free_at = last_cycle + 1
        for register in instruction.writes:
            written[register] = (instruction, last_cycle)
    return free_at, guessed


def issue_cycles(instruction: Instruction) -> int:
    """Return the cycles ``instruction`` keeps the issue stage to itself; 1 for most."""
    if instruction.kind in (Kind.LOAD_MULTIPLE, Kind.STORE_MULTIPLE):
        return max(1, (instruction.words + 1) // 2)
    if instruction.kind is Kind.DIVIDE:
        return DIVIDE_CYCLES
    if instruction.kind is Kind.TABLE_BRANCH:
        return 2
    return 1


_ALONE = (Kind.LOAD_MULTIPLE, Kind.STORE_MULTIPLE, Kind.DIVIDE, Kind.SYSTEM, Kind.TABLE_BRANCH)
_FLOAT = (Kind.FP_ALU, Kind.FP_MAC, Kind.FP_DIVIDE, Kind.FP_MOVE)


def pairing(older: Instruction, younger: Instruction) -> Pairing:
    """Tell whether two neighbours whose sources are ready can issue together."""
    kinds = {older.kind, younger.kind}
    if older.kind in _ALONE or younger.kind in _ALONE:
        return Pairing.NO
    if younger.kind in (Kind.DSP, Kind.BITFIELD):  # older slot only
        return Pairing.NO
    if kinds <= {Kind.STORE, Kind.MULTIPLY} or kinds == {Kind.BRANCH} or kinds <= set(_FLOAT):
        return Pairing.NO
    if _uses_shifter(older) and _uses_shifter(younger):
        return Pairing.NO
    if Kind.BITFIELD in kinds and (_uses_shifter(older) or _uses_shifter(younger)):
        return Pairing.NO
    if kinds == {Kind.LOAD}:
        return _pair_of_loads(older, younger)
    return Pairing.YES


def _uses_shifter(instruction: Instruction) -> bool:
    return instruction.kind is Kind.SHIFT or bool(instruction.shifted)


def _pair_of_loads(older: Instruction, younger: Instruction) -> Pairing:
    """Compare the memory banks (address bit 2) of two loads."""
    if older.access_bytes == 8 or younger.access_bytes == 8:  # VLDR of a double takes both banks
        return Pairing.NO
    if older.writeback and older.base in younger.address_reads:
        return Pairing.NO
    if older.base == PC and younger.base == PC:
        first = (older.address & ~3) + older.offset
        second = (younger.address & ~3) + younger.offset
        return Pairing.YES if (first ^ second) & 4 else Pairing.NO
    if older.base != younger.base or older.indexed or younger.indexed:
        return Pairing.UNKNOWN_BANK
    return Pairing.YES if (older.offset ^ younger.offset) & 4 else Pairing.NO


def latency(producer: Instruction, consumer: Instruction, register: int) -> int:
    """Return the cycles from the issue of ``producer`` to the issue of ``consumer``.

    0 lets the consumer issue in the younger slot of the producer's cycle.
    """
    use = _use(consumer, register)
    if use is Use.STORE_DATA:
        return 0
    if producer.kind in _FLOAT or producer.is_float:
        return _float_latency(producer, consumer, use)
    if producer.kind in (Kind.LOAD, Kind.STORE, Kind.LOAD_MULTIPLE, Kind.STORE_MULTIPLE):
        if producer.writeback and register == producer.base:
            return 1
        narrow = int(producer.access_bytes in (1, 2))
        early = use in (Use.ADDRESS, Use.SHIFTED, Use.MULTIPLIER)
        return (2 if early else 1) + narrow
    if producer.kind is Kind.MULTIPLY:
        return 1 if use is Use.ACCUMULATOR else 2
    if use is Use.BRANCH:
        return 0
    if use in (Use.ADDRESS, Use.SHIFTED):
        return 2
    return 0 if use is Use.DATA and producer.forwards and register != FLAGS else 1


def _use(consumer: Instruction, register: int) -> Use:
    """Find the earliest stage in which ``consumer`` needs ``register``."""
    if register in consumer.address_reads:
        return Use.ADDRESS
    if register in consumer.data_reads:
        return Use.STORE_DATA
    if register in consumer.shifted:
        return Use.SHIFTED
    if consumer.kind is Kind.MULTIPLY or consumer.kind is Kind.FP_MAC:
        return Use.ACCUMULATOR if register in consumer.accumulators else Use.MULTIPLIER
    if consumer.kind is Kind.BRANCH and register == FLAGS:
        return Use.BRANCH
    return Use.DATA


def _float_latency(producer: Instruction, consumer: Instruction, use: Use) -> int:
    if producer.kind is Kind.FP_MOVE:
        return 1 if consumer.is_float else FP_TO_CORE_CYCLES
    if producer.kind is Kind.FP_DIVIDE:
        return FP_ROOT_CYCLES if producer.text.startswith("vsqrt") else FP_DIVIDE_CYCLES
    if producer.kind in (Kind.LOAD, Kind.LOAD_MULTIPLE):
        return 2
    own = FP_MAC_CYCLES if producer.kind is Kind.FP_MAC else FP_CYCLES
    return own - 2 if use is Use.ACCUMULATOR else own
