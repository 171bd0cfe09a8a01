"""Read what the QEMU plugin counted and attribute it to the functions of an ELF file."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from codegen.errors import UserError
from codegen.target.emulator.events import Events

MARK_BEGIN = "nn_mark_begin"
MARK_END = "nn_mark_end"


@dataclass(frozen=True)
class Function:
    """A function in an ELF file."""

    name: str
    address: int
    size_bytes: int


@dataclass(frozen=True)
class Block:
    """A piece of straight-line code and how often it ran inside the measured windows."""

    address: int
    size_bytes: int
    instructions: int
    executions: tuple[int, ...]
    """Per slot, summed over the slot's windows."""
    fall_throughs: tuple[int, ...]
    """Executions after which the code at the block's end ran next, per slot."""
    events: tuple[Events, ...]
    """What the simulated memory system saw, per slot; all zero if none was asked for."""


@dataclass(frozen=True)
class Counts:
    """Everything the plugin recorded in one run."""

    slots: int
    windows: int
    blocks: tuple[Block, ...]
    """Sorted by address."""

    @property
    def windows_per_slot(self) -> int:
        """Return the number of windows that were added up in each slot."""
        return self.windows // self.slots

    def instructions(self) -> tuple[int, ...]:
        """Return executed instructions per slot, summed over its windows."""
        return tuple(
            sum(block.instructions * block.executions[slot] for block in self.blocks)
            for slot in range(self.slots)
        )

    def by_function(self, functions: Sequence[Function]) -> dict[str, tuple[int, ...]]:
        """Return executed instructions per function name and slot.

        Code outside every function is listed under "?".
        """
        ordered = sorted(functions, key=lambda function: function.address)
        starts = [function.address for function in ordered]
        totals: dict[str, list[int]] = {}
        for block in self.blocks:
            index = bisect.bisect_right(starts, block.address) - 1
            name = "?"
            if index >= 0 and block.address < starts[index] + ordered[index].size_bytes:
                name = ordered[index].name
            total = totals.setdefault(name, [0] * self.slots)
            for slot, executions in enumerate(block.executions):
                total[slot] += block.instructions * executions
        return {name: tuple(total) for name, total in sorted(totals.items())}


_COUNTERS = 2 + len(fields(Events))
"""Executions, fall-throughs and the events: enum counter of count_blocks.c."""


def _block(numbers: list[int], slots: int) -> Block:
    table = [tuple(numbers[at : at + slots]) for at in range(3, len(numbers), slots)]
    executions, fall_throughs, *events = table
    by_slot = tuple(Events(*values) for values in zip(*events, strict=True))
    return Block(numbers[0], numbers[1], numbers[2], executions, fall_throughs, by_slot)


def read(path: Path) -> Counts:
    """Read the plugin's output file.

    Raises:
        ValueError: the file is not what the plugin writes.
    """
    slots = windows = 0
    blocks: list[Block] = []
    for line in path.read_text(encoding="ascii").splitlines():
        kind, *texts = line.split()
        numbers = [int(text) for text in texts]
        if kind == "slots":
            (slots,) = numbers
        elif kind == "windows":
            (windows,) = numbers
        elif kind == "block" and len(numbers) == 3 + _COUNTERS * slots:
            blocks.append(_block(numbers, slots))
        else:
            raise ValueError(f"{path.name}: unexpected line {line!r}")
    blocks.sort(key=lambda block: (block.address, block.size_bytes))
    return Counts(slots, windows, tuple(blocks))


def functions(elf: Path) -> tuple[Function, ...]:
    """Return the functions of an ARM ELF file by address, Thumb bit removed.

    The compiler's suffixes (``name.part.0``) are dropped, so pieces of one function add up.
    """
    found: dict[int, Function] = {}
    with elf.open("rb") as stream:
        for section in ELFFile(stream).iter_sections():
            if not isinstance(section, SymbolTableSection):
                continue
            for symbol in section.iter_symbols():
                if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_size"] > 0:
                    address = int(symbol["st_value"]) & ~1
                    name = symbol.name.split(".")[0]
                    found[address] = Function(name, address, int(symbol["st_size"]))
    return tuple(found[address] for address in sorted(found))


def plugin_arguments(
    elf: Path, slots: int, out: Path, memory: Mapping[str, int] | None = None
) -> dict[str, str]:
    """Return the plugin's arguments to measure ``elf``.

    Args:
        elf: the program, with the marker functions.
        slots: windows are added up round robin in this many slots.
        out: the file the plugin writes.
        memory: the memory system to simulate
            (:func:`codegen.target.memory_system.plugin_arguments`); None counts executions only.

    Raises:
        UserError: the ELF file has no marker functions.
    """
    by_name = {function.name: function for function in functions(elf)}
    missing = [name for name in (MARK_BEGIN, MARK_END) if name not in by_name]
    if missing:
        raise UserError(
            str(elf),
            "what to count cannot be told: a marker function is missing",
            got=f"no {missing[0]}",
            expected=f"{MARK_BEGIN} and {MARK_END} as functions of their own",
            action="Build without flags that inline or strip them, such as -flto or -s",
        )
    begin, end = by_name[MARK_BEGIN], by_name[MARK_END]
    return {
        "begin": str(begin.address),
        "begin_size": str(begin.size_bytes),
        "end": str(end.address),
        "end_size": str(end.size_bytes),
        "slots": str(slots),
        "out": str(out),
        **{key: str(value) for key, value in (memory or {}).items()},
    }
