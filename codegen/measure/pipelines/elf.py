"""Machine code out of an ARM ELF file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection


@dataclass(frozen=True)
class CodePiece:
    """A stretch of instructions, without the constants compilers put between them."""

    name: str
    """The function's symbol."""
    address: int
    code: bytes


@dataclass(frozen=True)
class Image:
    """The loadable contents of an ELF file."""

    segments: tuple[tuple[int, bytes], ...]
    """Address and contents, as the running program sees them."""

    def read(self, address: int, size_bytes: int) -> bytes:
        """Return ``size_bytes`` from ``address``.

        Raises:
            ValueError: no segment contains all of it.
        """
        for start, contents in self.segments:
            if start <= address and address + size_bytes <= start + len(contents):
                return contents[address - start : address - start + size_bytes]
        raise ValueError(f"no segment contains {address:#x}, {size_bytes} bytes")


def image(elf: Path) -> Image:
    """Read the loadable segments of ``elf``."""
    with elf.open("rb") as stream:
        segments = tuple(
            (int(segment["p_vaddr"]), bytes(segment.data()))
            for segment in ELFFile(stream).iter_segments()
            if segment["p_type"] == "PT_LOAD"
        )
    return Image(segments)


def function_code(elf: Path, symbol: str) -> tuple[CodePiece, ...]:
    """Return the code of every function called ``symbol`` or ``symbol.<compiler suffix>``.

    Works on linked programs and object files. Literal pools, marked by the ``$d`` mapping symbols,
    are left out, so one function may come in several pieces.
    """
    found: list[CodePiece] = []
    with elf.open("rb") as stream:
        file = ELFFile(stream)
        relocatable = file["e_type"] == "ET_REL"
        tables = [s for s in file.iter_sections() if isinstance(s, SymbolTableSection)]
        for entry in (entry for table in tables for entry in table.iter_symbols()):
            is_function = entry["st_info"]["type"] == "STT_FUNC" and entry["st_size"] > 0
            if not is_function or entry.name.split(".")[0] != symbol:
                continue
            section = file.get_section(entry["st_shndx"])
            base = 0 if relocatable else int(section["sh_addr"])
            start = (int(entry["st_value"]) & ~1) - base
            end = start + int(entry["st_size"])
            marks = sorted(
                (int(mark["st_value"]) - base, mark.name.split(".")[0] == "$d")
                for table in tables
                for mark in table.iter_symbols()
                if mark["st_shndx"] == entry["st_shndx"] and mark.name.split(".")[0] in ("$t", "$d")
            )
            for first, last in _code_ranges(start, end, marks):
                code = bytes(section.data()[first:last])
                found.append(CodePiece(entry.name, base + first, code))
    return tuple(found)


def _code_ranges(start: int, end: int, marks: list[tuple[int, bool]]) -> list[tuple[int, int]]:
    """Cut [start, end) at the mapping symbols and keep what is code."""
    is_data = False
    position = start
    ranges: list[tuple[int, int]] = []
    for address, marks_data in marks:
        if address <= start:
            is_data = marks_data
            continue
        if address >= end:
            break
        if not is_data and address > position:
            ranges.append((position, address))
        position, is_data = address, marks_data
    if not is_data and end > position:
        ranges.append((position, end))
    return ranges
