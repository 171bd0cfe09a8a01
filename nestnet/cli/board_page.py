"""What `nestnet info` says of a board, a chip or a core: a shipped one's name, or a TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codegen.target import boards, chips, cores, placement
from codegen.target.boards import Bank, Board
from codegen.target.chips import Chip
from codegen.target.cores import Core
from codegen.target.toml_table import Table

Page = tuple[str, Mapping[str, Any]]
"""What kind of thing it is, and its facts, ready for JSON."""


def of_name(name: str) -> Page | None:
    """Return the page of the shipped board, chip or core of this name; None if there is none."""
    if name in boards.names():
        return "board", _board(boards.load(name))
    if name in chips.names():
        return "chip", _chip(chips.load(name))
    if name in cores.names():
        return "core", _core(cores.load(name))
    return None


def of_file(path: Path) -> Page | None:
    """Return the page of a TOML file; None if it holds no board, chip or core.

    Raises:
        UserError: not TOML, or it breaks the schema of what it is.
    """
    table = Table.read(path)
    if table.has("runner") or table.has("chip"):
        return "board", _board(boards.parse(table))
    if table.has("fpu") and table.has("core"):
        return "chip", _chip(chips.parse(table))
    if table.has("cpu_flags"):
        return "core", _core(cores.parse(table))
    return None


def _board(board: Board) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": board.id,
        "title": board.title,
        "status": board.status,
        "runner": board.runner,
    }
    if board.qemu_machine is not None:
        found["qemu_machine"] = board.qemu_machine
    chip = _chip(board.chip)
    found |= {"chip": chip.pop("id"), "chip_title": chip.pop("title"), **chip}
    if not board.is_host:
        found["placement"] = [
            {"use": use, "regions": [bank.name for bank in _order(board, use)]}
            for use in chips.USES
        ]
    return found


def _order(board: Board, use: str) -> list[Bank]:
    """Return the banks for ``use``, the one to be tried first first."""
    forced = board.placed(use)
    if forced is not None:
        return [forced]
    banks = list(board.banks(use))
    return placement.by_speed(banks) if use == "arena" else banks


def _chip(chip: Chip) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": chip.id,
        "title": chip.title,
        "core": chip.core.name,
        "kernels": chip.core.kernels,
        "compile_flags": list(chip.compile_flags),
        "clock_hz": chip.clock_hz,
        "reset_clock_hz": chip.reset_clock_hz,
        "cycle_model": chip.core.pricer,
        "emulated_by": chip.core.emulator,
        "cache": chip.cache.kind,
        "source": chip.source,
    }
    if chip.memory:
        found["memory"] = [
            {
                "name": region.name,
                "use": list(region.use),
                "address": f"{region.address:#010x}",
                "size_bytes": region.size_bytes,
                "wait_states": region.wait_states,
                "cached": region.cached,
            }
            for region in chip.memory
        ]
    return found


def _core(core: Core) -> dict[str, Any]:
    return {
        "name": core.name,
        "title": core.title,
        "kernels": core.kernels,
        "cpu_flags": list(core.cpu_flags),
        "clang_flags": list(core.clang_flags),
        "fpu": [fpu.kind for fpu in core.fpu],
        "cycle_model": core.pricer,
        "emulated_by": core.emulator,
        "source": core.source,
    }
