"""Name the C array that ``nestnet predict --c-array`` writes after its file."""

from __future__ import annotations

from pathlib import Path

from codegen.emit import runtime_names


def name_in(header: Path | None) -> str:
    """Return the name of the array in ``header``; nothing without one.

    Raises:
        UserError: the C runtime has the file's name or the array's.
    """
    if header is None:
        return ""
    from nestnet.exporting.model_file import c_identifier  # imports torch

    name = f"nn_{c_identifier(header.stem)}"
    runtime_names.refuse_taken(header, name)
    return name
