"""Estimate cycles from executed blocks: a pipeline model, branch outcomes and a memory model.

Every block is priced in the company it keeps: after each block that is known to run before it
(fall-through and direct branches give exact counts), so that pairs and stalls across block ends
are seen; blocks that loop on themselves are priced in steady state.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from codegen.errors import UserError
from codegen.measure.pipelines.decode import Instruction, decode
from codegen.measure.pipelines.elf import Image
from codegen.measure.pipelines.pricer_m4 import CortexM4
from codegen.measure.pipelines.pricer_m7 import CortexM7
from codegen.measure.pipelines.trace import (
    STEADY_REPEATS,
    Pricer,
    Trace,
    can_fall_through,
    steady_cycles,
    steps,
)
from codegen.target.emulator.counts import Counts, Function
from codegen.target.emulator.events import Events
from codegen.target.memory_system import ZERO_WAIT_STATES, Memory, Span

PRICERS: dict[str, Pricer] = {"cortex-m4": CortexM4(), "cortex-m7": CortexM7()}

CONTEXT_INSTRUCTIONS = 12
"""Instructions executed before a block that its price takes into account."""


@dataclass(frozen=True)
class Block:
    """Straight-line code as the emulator executed it."""

    address: int
    code: bytes
    executions: int
    fall_throughs: int
    """Executions after which control went on at the block's end."""
    events: Events = field(default_factory=Events)

    @property
    def end(self) -> int:
        """Return the address after the block."""
        return self.address + len(self.code)


def executed(counts: Counts, program: Image, slot: int) -> tuple[Block, ...]:
    """Return what ran in one slot of the emulator's counts, with its machine code.

    Args:
        counts: what the plugin recorded.
        program: contents of the ELF file that ran (:func:`codegen.measure.pipelines.elf.image`).
        slot: which of the counts' slots.
    """
    return tuple(
        Block(
            block.address,
            program.read(block.address, block.size_bytes),
            block.executions[slot],
            block.fall_throughs[slot],
            block.events[slot],
        )
        for block in counts.blocks
        if block.executions[slot] > 0
    )


@dataclass(frozen=True)
class Cost:
    """Instructions (exact) and cycles (estimated) of some code."""

    instructions: int
    cycles: Span


@dataclass(frozen=True)
class Estimate:
    """Estimated cycles of a run; ``total.cycles`` is a range where memory is not validated."""

    total: Cost
    by_function: dict[str, Cost]
    """In the order of decreasing cycles; "?" is code outside every function."""
    model: str
    """Core and memory model, for example ``cortex-m4, zero wait states``."""
    note: str
    """What to print beside the figures."""

    @property
    def cycles(self) -> int | None:
        """Return the estimate if it is one number, None if it is a range."""
        span = self.total.cycles
        return span.low if span.low == span.high else None


def pricer(core: str) -> Pricer:
    """Return the pipeline model of ``core``.

    Raises:
        UserError: there is none.
    """
    if core not in PRICERS:
        raise UserError(
            "cycles",
            "no cycle model for this core",
            got=core,
            expected="one of " + ", ".join(PRICERS),
            action="Choose a board with one of these cores",
        )
    return PRICERS[core]


def note(core: str, memory: Memory) -> str:
    """Return the sentence that belongs beside every estimate."""
    model = pricer(core)
    text = (
        "estimated cycles (static pipeline model, not measured); "
        f"expect within {model.error_percent:.0f} % for int8 code"
    )
    if memory.validated is None:
        text += "; memory model not validated: range from all cached to none cached"
    return text


def loop_cost(code: bytes, core: str, address: int = 0) -> float:
    """Return the cycles of one pass through ``code``, whose last instruction branches to its start.

    Steady state, zero wait states, branch predicted.

    Args:
        code: the loop's machine code.
        core: "cortex-m4" or "cortex-m7".
        address: where the loop is; the M4 fetches 32-bit instructions faster at multiples of 4.

    Raises:
        UserError: no model for ``core``.
    """
    return _steady(pricer(core), (address, code))


def estimate(
    blocks: Iterable[Block],
    core: str,
    memory: Memory = ZERO_WAIT_STATES,
    functions: Sequence[Function] = (),
) -> Estimate:
    """Estimate the cycles of a run.

    Args:
        blocks: everything that executed.
        core: "cortex-m4" or "cortex-m7".
        memory: the chip's memory model (:func:`codegen.target.memory_system.of_board`).
        functions: where the functions are, for ``by_function``.

    Raises:
        UserError: no model for ``core``.
    """
    model = pricer(core)
    run = _Run(tuple(block for block in blocks if block.executions > 0))
    owner = _Owner(functions)
    instructions: dict[str, int] = defaultdict(int)
    low: dict[str, float] = defaultdict(float)
    high: dict[str, float] = defaultdict(float)
    for block in run.blocks:
        name = owner.of(block.address)
        cycles = run.cycles(model, block)
        extra = memory.extra_cycles(block.events, block.address, len(block.code), block.executions)
        instructions[name] += len(_decoded(block)) * block.executions
        low[name] += cycles + extra.low
        high[name] += cycles + extra.high
    for address, wrong in run.mispredictions().items():
        name = owner.of(address)
        low[name] += model.mispredict_cycles * wrong
        high[name] += model.mispredict_cycles * wrong
    by_function = {
        name: Cost(instructions[name], Span(round(low[name]), round(high[name])))
        for name in sorted(low, key=lambda name: (-low[name], name))
    }
    spans = [cost.cycles for cost in by_function.values()]
    total = Cost(
        sum(instructions.values()), Span(sum(s.low for s in spans), sum(s.high for s in spans))
    )
    return Estimate(total, by_function, f"{core}, {memory.name}", note(core, memory))


class _Owner:
    """Find the function an address belongs to."""

    def __init__(self, functions: Sequence[Function]) -> None:
        self._functions = sorted(functions, key=lambda function: function.address)
        self._starts = [function.address for function in self._functions]

    def of(self, address: int) -> str:
        index = bisect.bisect_right(self._starts, address) - 1
        if index >= 0:
            function = self._functions[index]
            if address < function.address + function.size_bytes:
                return function.name
        return "?"


_Piece = tuple[int, bytes]
"""A block's address and code: all a price depends on."""


@dataclass(frozen=True)
class _Edge:
    """``count`` passes from the end of one block to the start of another."""

    source: int
    """Index of the block before."""
    taken: bool
    count: float


class _Run:
    """The executed blocks and the passes between them."""

    def __init__(self, blocks: tuple[Block, ...]) -> None:
        self.blocks = blocks
        self._index = {id(block): index for index, block in enumerate(blocks)}
        self._incoming: list[list[_Edge]] = [[] for _ in blocks]
        starts: dict[int, list[int]] = defaultdict(list)
        for index, block in enumerate(blocks):
            starts[block.address].append(index)
        for index, block in enumerate(blocks):
            last = _decoded(block)[-1]
            self._connect(index, starts.get(block.end, []), False, self.fall_throughs(block))
            if last.target is not None:
                taken = block.executions - self.fall_throughs(block)
                self._connect(index, starts.get(last.target, []), True, taken)

    @staticmethod
    def fall_throughs(block: Block) -> int:
        return block.fall_throughs if can_fall_through(_decoded(block)[-1]) else 0

    def _connect(self, source: int, targets: list[int], taken: bool, count: int) -> None:
        """Share ``count`` passes among the blocks that start at the address reached."""
        entries = sum(self.blocks[target].executions for target in targets)
        for target in targets:
            share = min(count, entries) * self.blocks[target].executions / entries
            if share > 0:
                self._incoming[target].append(_Edge(source, taken, share))

    def cycles(self, model: Pricer, block: Block) -> float:
        """Return the pipeline's cycles for all executions of ``block``."""
        index = self._index[id(block)]
        taken_share = 1 - self.fall_throughs(block) / block.executions
        unknown: float = block.executions
        total = 0.0
        for edge in self._incoming[index]:
            context = self._context(edge)
            loops = edge.source == index and edge.taken
            total += edge.count * _mean(model, _piece(block), context, loops, taken_share)
            unknown -= edge.count
        if unknown > 0:  # returns, indirect calls: a quiet pipeline
            total += unknown * _mean(model, _piece(block), (), False, taken_share)
        return total

    def _context(self, edge: _Edge) -> tuple[tuple[_Piece, bool], ...]:
        """Return the blocks most often executed before ``edge``, oldest first."""
        context: list[tuple[_Piece, bool]] = []
        length = 0
        following: _Edge | None = edge
        while following is not None and length < CONTEXT_INSTRUCTIONS:
            source = following.source
            context.append((_piece(self.blocks[source]), following.taken))
            length += len(_decoded(self.blocks[source]))
            candidates = self._incoming[source]
            following = max(candidates, key=lambda e: e.count) if candidates else None
        return tuple(reversed(context))

    def mispredictions(self) -> dict[int, int]:
        """Return min(taken, not taken) of every conditional branch, by its address."""
        taken: dict[int, int] = defaultdict(int)
        straight: dict[int, int] = defaultdict(int)
        for block in self.blocks:
            last = _decoded(block)[-1]
            if last.writes_pc and last.conditional:
                taken[last.address] += block.executions - block.fall_throughs
                straight[last.address] += block.fall_throughs
        return {address: min(taken[address], straight[address]) for address in taken}


def _piece(block: Block) -> _Piece:
    return (block.address, block.code)


def _decoded(block: Block) -> tuple[Instruction, ...]:
    return decode(block.code, block.address)


def _trace(piece: _Piece, taken: bool) -> Trace:
    address, code = piece
    return steps(decode(code, address), taken=taken)


def _mean(
    model: Pricer,
    piece: _Piece,
    context: tuple[tuple[_Piece, bool], ...],
    loops: bool,
    taken_share: float,
) -> float:
    """Return a block's cycles, weighted by how it was left."""
    total = 0.0
    if taken_share > 0:
        price = _steady(model, piece) if loops else _after(model, piece, context, True)
        total += taken_share * price
    if taken_share < 1:
        if loops:
            context = ((piece, True),) * (STEADY_REPEATS // 2)
        total += (1 - taken_share) * _after(model, piece, context, False)
    return total


@lru_cache(maxsize=65536)
def _steady(model: Pricer, piece: _Piece) -> float:
    return steady_cycles(model, _trace(piece, True))


@lru_cache(maxsize=65536)
def _after(
    model: Pricer, piece: _Piece, context: tuple[tuple[_Piece, bool], ...], taken: bool
) -> float:
    """Return what a block adds to the cycles of the code before it."""
    before = tuple(step for source, left in context for step in _trace(source, left))
    whole = (*before, *_trace(piece, taken))
    return model.cycles(whole) - (model.cycles(before) if before else 0.0)
