"""Read the values of command-line options that are more than one number."""

from __future__ import annotations

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


def resize(text: str | None) -> tuple[int, int] | None:
    """Return height and width of --resize."""
    parts = (text or "").lower().split("x")
    if text is None:
        return None
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise UserError(
            "--resize",
            "not a size",
            got=repr(text),
            expected="HEIGHTxWIDTH in pixels, as in 32x32",
            action="Write both numbers",
        )
    return int(parts[0]), int(parts[1])


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
