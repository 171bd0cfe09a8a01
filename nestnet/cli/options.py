"""Read the values of command-line options that are more than one number."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from codegen.errors import UserError
from nestnet import config


def sparsity(text: str | None, levels: int | None) -> tuple[float, ...] | None:
    """Return the sparsities that --sparsity and --levels ask for, None for the default."""
    if text is None:
        return None if levels is None else config.default_sparsity(levels)
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UserError(
            "--sparsity",
            "not a list of numbers",
            got=repr(text),
            expected="numbers from 0 to 1 with commas, as in 0.9,0.8,0.7,0.5",
            action="Write 90 % as 0.9",
        ) from None
    if levels is not None and levels != len(values):
        raise UserError(
            "--levels",
            "differs from the number of sparsities",
            got=levels,
            expected=f"{len(values)}, as many as --sparsity lists",
            action="Leave --levels out",
        )
    return values


def pixels(mean: str | None, std: str | None) -> dict[str, tuple[float, ...] | None]:
    """Return what --mean and --std give, numbers with commas between them.

    Raises:
        UserError: something else than numbers.
    """
    return {"mean": _numbers(mean, "--mean"), "std": _numbers(std, "--std")}


def _numbers(text: str | None, flag: str) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UserError(
            flag,
            "not a list of numbers",
            got=repr(text),
            expected="one number, or one per channel with commas, as in 0.485,0.456,0.406",
            action="Correct it",
        ) from None


_UNITS = {"": 1, "b": 1, "kib": 1024, "mib": 1024**2, "kb": 1000, "mb": 1000**2}


def size(text: str | None, flag: str) -> int | None:
    """Return the bytes that ``text`` names: 48KiB, 48kB or 49152; None without a text.

    Raises:
        UserError: no such size, or not even one byte.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)", text.strip())
    scale = _UNITS.get(found[2].lower()) if found else None
    count = float(found[1]) * scale if found and scale else 0.0
    if count < 1 or not count.is_integer():
        raise UserError(
            flag,
            "not a size",
            got=repr(text),
            expected="bytes with or without a unit, as in 48KiB, 48kB, 49152",
            action="Write a whole number of bytes, KiB, MiB, kB or MB",
        )
    return int(count)


def flash(budget: str | None, total: str | None, board: str | None) -> dict[str, object]:
    """Return the settings that --flash, --flash-total and --board make.

    Raises:
        UserError: both budgets, or not a size.
    """
    if budget is not None and total is not None:
        raise UserError(
            "--flash",
            "two budgets",
            got="--flash and --flash-total",
            expected="one: weights and tables alone, or the whole firmware",
            action="Leave one out",
        )
    return {
        "flash_bytes": size(budget, "--flash") if total is None else 0,
        "flash_total_bytes": size(total, "--flash-total") if budget is None else 0,
        "board": "" if budget is not None and board is None else board,
    }


def resize(text: str | None) -> tuple[int, int] | None:
    """Return height and width of --resize; one number is both."""
    parts = (text or "").lower().split("x")
    if text is None:
        return None
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise UserError(
            "--resize",
            "not a size",
            got=repr(text),
            expected="HEIGHTxWIDTH in pixels, as in 32x48, or one number for both",
            action="Write whole numbers",
        )
    return int(parts[0]), int(parts[-1])


def input_shape(text: str | None) -> tuple[int, int, int] | None:
    """Return height, width and channels of --input-shape."""
    parts = (text or "").lower().split("x")
    if text is None:
        return None
    if len(parts) != 3 or not all(part.isdecimal() and 0 < int(part) <= 4096 for part in parts):
        raise UserError(
            "--input-shape",
            "not an input shape",
            got=repr(text),
            expected="HEIGHTxWIDTHxCHANNELS, each 1..4096, as in 32x32x3",
            action="Write all three numbers",
        )
    return int(parts[0]), int(parts[1]), int(parts[2])


def levels(text: str | None) -> tuple[int, ...] | None:
    """Return the level numbers of --levels, None for all."""
    if text is None:
        return None
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise UserError(
            "--levels",
            "not a list of levels",
            got=repr(text),
            expected="level numbers with commas, as in 0,3",
            action="Leave it out for all levels",
        )
    return tuple(int(part) for part in parts)


def refuse_with_resume(given: Mapping[str, object], settings: Path | None) -> None:
    """Refuse flags of training, or a configuration file, beside ``--resume``.

    Raises:
        UserError: there are some.
    """
    extra = [f"--{key.replace('_', '-')}" for key in given] + ["--config"] * (settings is not None)
    if extra:
        raise UserError(
            "--resume",
            "a resumed run keeps its configuration",
            got=", ".join(extra),
            expected="no other flag of training",
            action="Leave them out, or train a new run",
        )
