"""Read settings in short forms, the same on the command line, in a file and in Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from codegen.errors import UserError

_DEFAULT_SPARSITY: dict[int, tuple[float, ...]] = {
    1: (0.7,),
    2: (0.9, 0.5),
    3: (0.9, 0.75, 0.5),
    4: (0.9, 0.8, 0.7, 0.5),
    5: (0.9, 0.8, 0.7, 0.6, 0.5),
    6: (0.95, 0.9, 0.8, 0.7, 0.6, 0.5),
    7: (0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5),
    8: (0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.3),
}

_UNITS = {"": 1, "b": 1, "kib": 1024, "mib": 1024**2, "kb": 1000, "mb": 1000**2}


def default_sparsity(levels: object, where: str = "--levels") -> tuple[float, ...]:
    """Return the sparsities used for ``--levels LEVELS``, sparsest first.

    Raises:
        UserError: ``levels`` is not 1..8.
    """
    if type(levels) is not int or levels not in _DEFAULT_SPARSITY:
        raise UserError(
            where,
            "no such number of levels",
            got=levels,
            expected=f"1..{max(_DEFAULT_SPARSITY)}",
            action="Choose fewer levels, or give the sparsities with --sparsity",
        )
    return _DEFAULT_SPARSITY[levels]


def sparsity_of(
    levels: object, sparsity: Sequence[float] | None, where: str = "--levels"
) -> tuple[float, ...]:
    """Return the sparsities of so many ``levels``: the default ones, or those that are given.

    Raises:
        UserError: ``levels`` is not 1..8, or not the number of the sparsities.
    """
    if sparsity is None:
        return default_sparsity(levels, where)
    if levels != len(sparsity):
        raise UserError(
            where,
            "differs from the number of sparsities",
            got=levels,
            expected=f"{len(sparsity)}, as many as sparsities are listed",
            action="Leave the number of levels out",
        )
    return tuple(sparsity)


def _sparsities(text: str, where: str) -> tuple[float, ...]:
    expected = "numbers from 0 to 1 with commas, as in 0.9,0.8,0.7,0.5"
    return _numbers(text, where, expected, "Write 90 % as 0.9")


def _per_channel(text: str, where: str) -> tuple[float, ...]:
    expected = "one number, or one per channel with commas, as in 0.485,0.456,0.406"
    return _numbers(text, where, expected, "Correct it")


def _numbers(text: str, where: str, expected: str, action: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UserError(
            where, "not a list of numbers", got=repr(text), expected=expected, action=action
        ) from None


def _size(text: str, where: str) -> int:
    """Return the bytes that ``text`` names: 48KiB, 48kB or 49152."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)", text.strip())
    scale = _UNITS.get(found[2].lower()) if found else None
    count = float(found[1]) * scale if found and scale else 0.0
    if count < 1 or not count.is_integer():
        raise UserError(
            where,
            "not a size",
            got=repr(text),
            expected="bytes with or without a unit, as in 48KiB, 48kB, 49152",
            action="Write a whole number of bytes, KiB, MiB, kB or MB",
        )
    return int(count)


def _height_width(text: str, where: str) -> tuple[int, int]:
    """Return height and width; one number is both."""
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise UserError(
            where,
            "not a size",
            got=repr(text),
            expected="HEIGHTxWIDTH in pixels, as in 32x48, or one number for both",
            action="Write whole numbers",
        )
    return int(parts[0]), int(parts[-1])


def _tile(text: str, where: str) -> tuple[int, int]:
    """Return height and width of tiles; 0 and 0 for ``auto``, those that a board has room for."""
    return (0, 0) if text.strip() == "auto" else _height_width(text, where)


TEXTS: Mapping[str, Callable[[str, str], object]] = {
    "sparsity": _sparsities,
    "mean": _per_channel,
    "std": _per_channel,
    "resize": _height_width,
    "tile": _tile,
    "flash_bytes": _size,
    "flash_total_bytes": _size,
}
"""How the text of a setting is read; the second argument names the setting in messages.

Raises:
    UserError: the text is none of that setting.
"""
