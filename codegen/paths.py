"""Find the files that travel beside the Python code: templates, firmware and boards.

The only module that knows where they are: in a source checkout they are top-level folders, in an
installed wheel they lie in ``codegen/_data``.
"""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _data_folder(name: str) -> Path:
    """Return the folder ``name``, installed or in the checkout.

    Raises:
        FileNotFoundError: the installation is incomplete; not a user's mistake.
    """
    for parent in (_PACKAGE / "_data", _PACKAGE.parent):
        if (parent / name).is_dir():
            return parent / name
    raise FileNotFoundError(f"nestnet's {name}/ folder is missing; reinstall nestnet")


def templates() -> Path:
    """Return the folder with all text templates."""
    return _data_folder("templates")


def firmware() -> Path:
    """Return the folder with the hand-written C runtime."""
    return _data_folder("firmware")


def boards() -> Path:
    """Return the folder with one TOML file per board."""
    return _data_folder("boards")


def chips() -> Path:
    """Return the folder with one TOML file per chip."""
    return boards() / "chips"


def cores() -> Path:
    """Return the folder with one TOML file per core."""
    return boards() / "cores"


def plugin_source() -> Path:
    """Return the C source of the instruction-counting emulator plugin."""
    return _PACKAGE / "target" / "emulator" / "count_blocks.c"


def cache() -> Path:
    """Return nestnet's cache folder, created on demand (XDG_CACHE_HOME or ~/.cache)."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "nestnet"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
