"""Say what a built program takes of flash and RAM, read from its ELF file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from codegen.target.boards import Bank, Board

_READ_ONLY = ("FLASH", "WEIGHTS")
"""Regions of the linker script that hold no variables."""
_ALLOCATED = 0x2
_WRITABLE = 0x1
_REGION = re.compile(r"^(\w+) +0x[0-9a-f]+ +(0x[0-9a-f]+)", re.MULTILINE)


@dataclass(frozen=True)
class RegionSize:
    """What lies in one bank of the chip's memory."""

    name: str
    """Of its regions."""
    used_bytes: int
    size_bytes: int


@dataclass(frozen=True)
class Sizes:
    """Bytes of one program; flash = sum of its parts, RAM likewise.

    Limits are None on the host, where sizes come from the library's objects alone.
    """

    flash_bytes: int
    flash_limit_bytes: int | None
    weights_bytes: int
    code_bytes: int
    """Flash that is not weights: code, constants and initial values."""
    ram_bytes: int
    ram_limit_bytes: int | None
    arena_bytes: int
    variables_bytes: int
    """Input and output buffers and every other variable."""
    stack_reserve_bytes: int
    regions: tuple[RegionSize, ...]
    """The banks that hold anything, by address; none on the host."""


def linked_bytes(elf: Path) -> dict[str, int]:
    """Return the length of every memory region by name, as the linker script said when linked.

    Read from the linker's map beside ``elf``, which is written even where something does not fit;
    empty if there is none.
    """
    try:
        text = elf.with_suffix(".map").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    _, _, table = text.partition("Memory Configuration")
    table, _, _ = table.partition("Linker script and memory map")
    return {name: int(length, 16) for name, length in _REGION.findall(table)}


def variable(elf: Path, name: str) -> tuple[int, int]:
    """Return address and bytes of a variable; (0, 0) if there is none of this name."""
    with elf.open("rb") as stream:
        for section in ELFFile(stream).iter_sections():
            if isinstance(section, SymbolTableSection):
                for symbol in section.iter_symbols():
                    if symbol["st_info"]["type"] == "STT_OBJECT" and symbol.name == name:
                        return int(symbol["st_value"]), int(symbol["st_size"])
    return 0, 0


def of_program(elf: Path, board: Board) -> Sizes:
    """Return the sizes of a linked Cortex-M program; the limits are its linker script's.

    Flash and RAM are each the sum of all regions of the script.
    """
    flash = ram = 0
    symbols: dict[str, int] = {}
    with elf.open("rb") as stream:
        file = ELFFile(stream)
        for section in file.iter_sections():
            if isinstance(section, SymbolTableSection):
                for symbol in section.iter_symbols():
                    if symbol["st_info"]["type"] == "STT_OBJECT":
                        symbols[symbol.name] = int(symbol["st_size"])
            if not int(section["sh_flags"]) & _ALLOCATED:
                continue
            size = int(section["sh_size"])
            if section["sh_type"] != "SHT_NOBITS":
                flash += size
            if int(section["sh_flags"]) & _WRITABLE:
                ram += size
        stack = next((int(s["sh_size"]) for s in file.iter_sections() if s.name == ".stack"), 0)
    weights = sum(size for name, size in symbols.items() if name.startswith("nn_weights_"))
    arena = symbols.get("arena", 0)
    limits = linked_bytes(elf)
    return Sizes(
        flash_bytes=flash,
        flash_limit_bytes=sum(limits[name] for name in limits if name in _READ_ONLY) or None,
        weights_bytes=weights,
        code_bytes=flash - weights,
        ram_bytes=ram,
        ram_limit_bytes=sum(limits[name] for name in limits if name not in _READ_ONLY) or None,
        arena_bytes=arena,
        variables_bytes=ram - arena - stack,
        stack_reserve_bytes=stack,
        regions=_regions(elf, board),
    )


def _regions(elf: Path, board: Board) -> tuple[RegionSize, ...]:
    """Return what lies in each bank; initial values count where they are stored and where used."""
    with elf.open("rb") as stream:
        file = ELFFile(stream)
        pieces = [
            (int(section["sh_addr"]), int(section["sh_size"]))
            for section in file.iter_sections()
            if int(section["sh_flags"]) & _ALLOCATED
        ]
        pieces += [
            (int(segment["p_paddr"]), int(segment["p_filesz"]))
            for segment in file.iter_segments()
            if segment["p_type"] == "PT_LOAD" and segment["p_paddr"] != segment["p_vaddr"]
        ]

    def inside(bank: Bank) -> int:
        end = bank.address + bank.size_bytes
        return sum(size for address, size in pieces if bank.address <= address < end)

    banks = sorted(board.all_banks(), key=lambda bank: bank.address)
    return tuple(
        RegionSize(bank.name, inside(bank), bank.size_bytes) for bank in banks if inside(bank)
    )


def of_host_objects(objects: list[Path], arena_bytes: int, edge_bytes: int) -> Sizes:
    """Return what the library's objects take on the host; RAM is the plan's."""
    constant = weights = 0
    for path in objects:
        with path.open("rb") as stream:
            file = ELFFile(stream)
            constant += sum(
                int(section["sh_size"])
                for section in file.iter_sections()
                if int(section["sh_flags"]) & _ALLOCATED and section["sh_type"] != "SHT_NOBITS"
            )
            for section in file.iter_sections():
                if isinstance(section, SymbolTableSection):
                    weights += sum(
                        int(symbol["st_size"])
                        for symbol in section.iter_symbols()
                        if symbol.name.startswith("nn_weights_")
                    )
    return Sizes(
        flash_bytes=constant,
        flash_limit_bytes=None,
        weights_bytes=weights,
        code_bytes=constant - weights,
        ram_bytes=arena_bytes + edge_bytes,
        ram_limit_bytes=None,
        arena_bytes=arena_bytes,
        variables_bytes=edge_bytes,
        stack_reserve_bytes=0,
        regions=(),
    )
