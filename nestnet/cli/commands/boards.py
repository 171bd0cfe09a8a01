"""``nestnet boards``: list the boards, their chips and cores."""

from __future__ import annotations

from dataclasses import asdict

from codegen.target import boards as board_files
from codegen.target import cores as core_files
from nestnet.cli import outputs, tables
from nestnet.cli.options import JsonOption


def command(json_path: JsonOption = None) -> None:
    """List the boards, their chips and cores."""
    known = [board_files.load(name) for name in board_files.names()]
    rows = [
        (board.id, board.title, board.chip.id, board.core.name, *_sizes(board), board.status)
        for board in known
    ]
    columns = ("name", "what it is", "chip", "core", "flash bytes", "RAM bytes", "status")
    tables.console().print(tables.names("Boards", rows, columns))
    listed = [core_files.load(name) for name in core_files.names()]
    about = [
        (core.name, core.title, core.kernels, core.pricer or "-", core.emulator or "-")
        for core in listed
    ]
    heads = ("name", "what it is", "kernels", "cycle model", "emulated by")
    tables.console().print(tables.names("Cores", about, heads))
    print("More of one: nestnet info NAME. Your own: --board my_board.toml (docs/howto/board.md)")
    found = {
        "boards": {board.id: asdict(board) for board in known},
        "cores": {core.name: asdict(core) for core in listed},
    }
    outputs.write_json(json_path, found)


def _sizes(board: board_files.Board) -> tuple[str, str]:
    """Return the bytes of flash and of RAM that are linked for a board."""
    if board.is_host:
        return "-", "-"
    banks = board.all_banks()
    flash = {bank for use in ("code", "weights") for bank in board.banks(use)}
    sizes = [sum(b.size_bytes for b in banks if (b in flash) == kind) for kind in (True, False)]
    return tables.count(sizes[0]), tables.count(sizes[1])
