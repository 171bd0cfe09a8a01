"""What instruction fetches and data accesses cost beyond the pipeline: one model per chip.

Only two memory systems have been compared with measurements (docs/cycles.md, "Memory"); they are
recognised by their geometry. A board with wait states and any other memory system gets
a range: everything hits, or nothing does. Never one number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codegen.target.boards import Board
from codegen.target.chips import Memory as Region
from codegen.target.emulator.events import Events
from codegen.target.placement import Layout


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
    miss_cycles: int = 0
    """Of a line, or where no cache is simulated, of a fetch and of a load from flash."""
    ram_cycles: int = 0
    """Of an access to RAM that no simulated cache answers for; used for the upper bound only."""
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
        flash = self.miss_cycles * (runs * lines + events.flash_loads)
        return Span(0, flash + self.ram_cycles * events.cached_ram_accesses)


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


def _l1(instruction_bytes: int, data_bytes: int, validated: str | None) -> Memory:
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
        miss_cycles=_L1_MISS_CYCLES,
        ram_cycles=_L1_MISS_CYCLES,
        store_miss_cycles=_L1_STORE_MISS_CYCLES,
        fetch_bytes=_L1_LINE_BYTES,
    )


def of_board(board: Board, layout: Layout | None = None) -> Memory:
    """Return the memory model of ``board``; unvalidated ones give ranges.

    A board without wait states and caches is exactly the pipeline model. Otherwise the geometry of
    the caches decides.

    Args:
        board: a microcontroller.
        layout: where code and data lie, whose wait states count; without it, those of the slowest
            memory they may lie in.
    """
    cache = board.cache
    flash_wait = _wait_states(board, layout, ("code", "weights"))
    ram_wait = _wait_states(board, layout, ("data", "stack", "arena"))
    if cache.kind == "none" and flash_wait == ram_wait == 0:
        return ZERO_WAIT_STATES
    geometry = (cache.kind, cache.instruction_bytes, cache.data_bytes, cache.line_bytes)
    if geometry == ("flash", 1024, 256, 8) and (flash_wait, ram_wait) == (5, 0):
        return _L4R5_ART
    if cache.kind == "l1" and cache.line_bytes == _L1_LINE_BYTES:
        validated = (
            "4 published cycle counts of an STM32F746 at 216 MHz"
            if geometry[1:3] == (4096, 4096) and (flash_wait, ram_wait) == (7, 0)
            else None
        )
        return _l1(cache.instruction_bytes, cache.data_bytes, validated)
    slowest = f"{flash_wait} wait states" + (f", {ram_wait} of RAM" if ram_wait else "")
    return Memory(
        name=f"{slowest}, cache not validated",
        validated=None,
        miss_cycles=flash_wait,
        ram_cycles=ram_wait,
        fetch_bytes=max(cache.line_bytes, 4),
    )


def _wait_states(board: Board, layout: Layout | None, uses: Sequence[str]) -> int:
    banks = [
        bank
        for use in uses
        for bank in ([layout.of(use).bank] if layout is not None else board.banks(use))
    ]
    return max((bank.wait_states for bank in banks), default=0)


@dataclass(frozen=True)
class Stand:
    """Where a program lies on the emulated board that stands for a chip."""

    flash: tuple[int, int]
    """Address and bytes, like the others."""
    ram: tuple[int, int]
    """What is addressed as RAM: stack and variables, and the arena if it lies there."""
    arena: tuple[int, int]


def plugin_arguments(memory: Memory, layout: Layout, stand: Stand) -> dict[str, int]:
    """Return what the emulator plugin needs to know to count this memory system's events.

    The emulated board's flash and RAM stand for the chip's: same contents, other addresses.
    Nothing at all for a model without events.

    Args:
        memory: the model of the chip's memory.
        layout: where the chip has everything.
        stand: where the emulated program has it.
    """
    if memory.miss_cycles == 0 and memory.ram_cycles == 0:
        return {}
    arguments = {"flash": stand.flash[0], "flash_bytes": stand.flash[1]}
    if memory.ram_cycles:
        for name, (start, end) in zip(("ram", "ram2"), _counted(layout, stand), strict=False):
            arguments |= {name: start, f"{name}_bytes": end - start}
    for name, cache in (("icache", memory.instruction_cache), ("dcache", memory.data_cache)):
        if cache is not None:
            arguments[f"{name}_sets"] = cache.sets
            arguments[f"{name}_ways"] = cache.ways
            arguments[f"{name}_line"] = cache.line_bytes
    return arguments


def _counted(layout: Layout, stand: Stand) -> list[tuple[int, int]]:
    """Return the ranges of emulated addresses, at most two, that stand for RAM whose accesses cost.

    What lies in one bank with the data lies at the same distance from its start.
    """
    data, arena = layout.of("data").bank, layout.of("arena").bank
    start, end = stand.ram[0], stand.ram[0] + stand.ram[1]
    of_arena = (stand.arena[0], stand.arena[0] + stand.arena[1])
    free = next(
        (region.address for region in data.regions if _costs(region)), data.address + stand.ram[1]
    )
    of_data = (min(start + free - data.address, end), end)
    inside = start <= of_arena[0] < end
    around = [(of_data[0], of_arena[0]), (max(of_data[0], of_arena[1]), end)]
    ranges = around if inside and arena != data else [of_data]
    if arena != data and any(_costs(region) for region in arena.regions):
        ranges = [of_data] if inside and of_data[0] <= of_arena[0] else [*ranges, of_arena]
    return [(low, high) for low, high in ranges if low < high]


def _costs(region: Region) -> bool:
    return region.cached or region.wait_states > 0
