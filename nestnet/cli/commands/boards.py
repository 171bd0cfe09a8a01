"""``nestnet boards``: list the boards."""

from __future__ import annotations

from dataclasses import asdict

from codegen.target import boards as board_files
from nestnet.cli import outputs, tables
from nestnet.cli.options import JsonOption


def command(json_path: JsonOption = None) -> None:
    """List the boards."""
    known = [board_files.load(name) for name in board_files.names()]
    rows = [
        (
            board.id,
            board.title,
            "-" if board.is_host else tables.count(board.banks("code")[0].size_bytes),
            "-" if board.is_host else tables.count(board.banks("data")[0].size_bytes),
            board.status,
        )
        for board in known
    ]
    columns = ("name", "what it is", "flash bytes", "RAM bytes", "status")
    tables.console().print(tables.names("Boards", rows, columns))
    outputs.write_json(json_path, {board.id: asdict(board) for board in known})
