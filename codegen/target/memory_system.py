"""What instruction fetches and data accesses cost beyond the pipeline: one model per chip.

Only two memory systems have been compared with measurements (docs/cycles.md, "Memory"); they are
recognised by their geometry. A board with wait states and any other memory system gets
:class:`Bounds`: everything hits, or nothing does. Never one number.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from codegen.target.boards import Bank, Board
from codegen.target.emulator.events import Events


@dataclass(frozen=True)
class Geometry:
    """A cache as the emulator plugin simulates it: least recently used line replaced."""

    sets: int
    ways: int
    line_bytes: int


@dataclass(frozen=True)
class Span:
    """A fewest-to-most pair of cycle counts; equal ends mean one number."""

    low: int
    high: int


@dataclass(frozen=True)
class Memory:
    """A memory system: the caches to simulate and what their events cost."""

    name: str
    validated: str | None
    """What the model was compared with; None makes every estimate a range."""
    instruction_cache: Geometry | None = None
    data_cache: Geometry | None = None
    caches_ram: bool = False
    tcm_bytes: int = 0
    """Bytes at the start of RAM that no cache and no wait state touches."""
    miss_cycles: int = 0
    store_miss_cycles: int = 0
    fetch_bytes: int = 0
    """Bytes one uncached instruction fetch brings; used for the upper bound only."""

    def extra_cycles(self, events: Events, address: int, size_bytes: int, runs: int) -> Span:
        """Return the cycles memory adds to ``runs`` executions of a block.

        Args:
            events: what the plugin counted for the block.
            address: where the block starts.
            size_bytes: length of its code.
            runs: executions.
        """
        if self.validated is not None:
            cycles = self.miss_cycles * (events.instruction_misses + events.load_misses)
            cycles += self.store_miss_cycles * events.store_misses
            return Span(cycles, cycles)
        lines = (address + size_bytes - 1) // self.fetch_bytes - address // self.fetch_bytes + 1
        accesses = runs * lines + events.flash_loads + events.cached_ram_accesses
        return Span(0, self.miss_cycles * accesses)


ZERO_WAIT_STATES = Memory("zero wait states", validated="see the core's model")

_L4R5_ART = Memory(
    name="flash accelerator, 128 + 32 sectors of 8 bytes, 5 cycles a miss",
    validated="12 published cycle counts of an STM32L4R5 at 120 MHz",
    instruction_cache=Geometry(sets=1, ways=128, line_bytes=8),
    data_cache=Geometry(sets=1, ways=32, line_bytes=8),
    miss_cycles=5,
)

_L1_LINE_BYTES = 32
_L1_INSTRUCTION_WAYS = 2
_L1_DATA_WAYS = 4
_L1_MISS_CYCLES = 12
_L1_STORE_MISS_CYCLES = 6


def _l1(instruction_bytes: int, data_bytes: int, tcm_bytes: int, validated: str | None) -> Memory:
    kib = f"{instruction_bytes // 1024} + {data_bytes // 1024} KB"
    return Memory(
        name=f"level-1 caches, {kib}, {_L1_MISS_CYCLES} cycles a line",
        validated=validated,
        instruction_cache=Geometry(
            instruction_bytes // (_L1_LINE_BYTES * _L1_INSTRUCTION_WAYS),
            _L1_INSTRUCTION_WAYS,
            _L1_LINE_BYTES,
        ),
        data_cache=Geometry(
            data_bytes // (_L1_LINE_BYTES * _L1_DATA_WAYS), _L1_DATA_WAYS, _L1_LINE_BYTES
        ),
        caches_ram=True,
        tcm_bytes=tcm_bytes,
        miss_cycles=_L1_MISS_CYCLES,
        store_miss_cycles=_L1_STORE_MISS_CYCLES,
        fetch_bytes=_L1_LINE_BYTES,
    )


def of_board(board: Board) -> Memory:
    """Return the memory model of ``board``; unvalidated ones give ranges.

    A board without wait states and caches is exactly the pipeline model. Otherwise the pair of
    core and cache geometry decides.
    """
    cache = board.cache
    wait_states = max((region.wait_states for region in board.memory), default=0)
    if cache.kind == "none" and wait_states == 0:
        return ZERO_WAIT_STATES
    geometry = (cache.kind, cache.instruction_bytes, cache.data_bytes, cache.line_bytes)
    if geometry == ("flash", 1024, 256, 8) and wait_states == 5:
        return _L4R5_ART
    if cache.kind == "l1" and cache.line_bytes == _L1_LINE_BYTES:
        tcm = _uncached_bytes(board.banks("data")[0])
        validated = (
            "4 published cycle counts of an STM32F746 at 216 MHz"
            if geometry[1:3] == (4096, 4096) and wait_states == 7
            else None
        )
        return _l1(cache.instruction_bytes, cache.data_bytes, tcm, validated)
    return Memory(
        name=f"{wait_states} wait states, cache not validated",
        validated=None,
        miss_cycles=wait_states,
        fetch_bytes=max(cache.line_bytes, 4),
    )


def _uncached_bytes(bank: Bank) -> int:
    """Return the bytes at the start of ``bank`` that no cache answers for."""
    regions = itertools.takewhile(lambda region: not region.cached, bank.regions)
    return sum(region.size_bytes for region in regions)


def plugin_arguments(memory: Memory, emulator: Board) -> dict[str, int]:
    """Return what the emulator plugin needs to know to count this memory system's events.

    The emulated board's flash and RAM stand for the chip's: same contents, other addresses.
    Nothing at all for a model without events.
    """
    if memory.miss_cycles == 0:
        return {}
    flash, ram = emulator.banks("code")[0], emulator.banks("data")[0]
    arguments = {"flash": flash.address, "flash_bytes": flash.size_bytes}
    if memory.caches_ram:
        arguments["ram"] = ram.address + memory.tcm_bytes
        arguments["ram_bytes"] = max(0, ram.size_bytes - memory.tcm_bytes)
    for name, cache in (("icache", memory.instruction_cache), ("dcache", memory.data_cache)):
        if cache is not None:
            arguments[f"{name}_sets"] = cache.sets
            arguments[f"{name}_ways"] = cache.ways
            arguments[f"{name}_line"] = cache.line_bytes
    return arguments
