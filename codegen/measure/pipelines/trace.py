"""The input of both pipeline models: instructions in execution order, and what a model offers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from codegen.measure.pipelines.decode import Instruction


class Step(NamedTuple):
    """One executed instruction."""

    instruction: Instruction
    taken: bool
    """The instruction changed the program counter: execution goes on elsewhere."""


Trace = Sequence[Step]


class Pricer(Protocol):
    """A static pipeline model of one core."""

    @property
    def name(self) -> str:
        """How reports call the model, for example ``cortex-m4``."""

    @property
    def validated(self) -> str:
        """What the model was compared with, and how far off it was."""

    @property
    def error_percent(self) -> float:
        """Error to announce beside every estimate."""

    @property
    def mispredict_cycles(self) -> int:
        """Extra cycles of a conditional branch that went the less frequent way."""

    def __hash__(self) -> int:
        """Models are immutable and compare by value, so prices can be remembered."""

    def cycles(self, trace: Trace) -> float:
        """Return the cycles ``trace`` takes from a quiet pipeline, entered by a jump."""


def steps(instructions: Iterable[Instruction], *, taken: bool) -> tuple[Step, ...]:
    """Turn a block into a trace; only its last instruction can leave the straight line.

    An unconditional branch at the end is taken whatever ``taken`` says.
    """
    block = tuple(instructions)
    if not block:
        return ()
    last = block[-1]
    leaves = last.writes_pc and (taken or not last.conditional)
    return (*(Step(i, False) for i in block[:-1]), Step(last, leaves))


def can_fall_through(instruction: Instruction) -> bool:
    """Tell whether execution can go on after ``instruction``, in memory order."""
    return not instruction.writes_pc or instruction.conditional


STEADY_REPEATS = 24
"""Repetitions over which a loop is priced; the first half lets the pipeline settle."""


def steady_cycles(pricer: Pricer, body: Trace) -> float:
    """Return the cycles one more pass through a loop takes once it has settled.

    The mean over the second half of :data:`STEADY_REPEATS` passes covers loops whose pairing
    repeats only every two, three or four passes.
    """
    settled = STEADY_REPEATS // 2
    before = pricer.cycles(tuple(body) * settled)
    after = pricer.cycles(tuple(body) * STEADY_REPEATS)
    return (after - before) / (STEADY_REPEATS - settled)
