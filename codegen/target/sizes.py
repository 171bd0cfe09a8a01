"""Say what a built program takes of flash and RAM, read from its ELF file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from codegen.target.boards import Board

_ALLOCATED = 0x2
_WRITABLE = 0x1
_REGION = re.compile(r"^(\w+) +0x[0-9a-f]+ +(0x[0-9a-f]+)", re.MULTILINE)


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


def of_program(elf: Path, board: Board) -> Sizes:
    """Return the sizes of a linked Cortex-M program; the limits are its linker script's."""
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
        flash_limit_bytes=limits.get("FLASH", board.banks("code")[0].size_bytes),
        weights_bytes=weights,
        code_bytes=flash - weights,
        ram_bytes=ram,
        ram_limit_bytes=limits.get("RAM", board.banks("data")[0].size_bytes),
        arena_bytes=arena,
        variables_bytes=ram - arena - stack,
        stack_reserve_bytes=stack,
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
    )
