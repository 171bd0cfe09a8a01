"""Checks of single values of a configuration; each raises UserError for a wrong one."""

from __future__ import annotations

import itertools
import math
import typing
from collections.abc import Mapping
from typing import Any

from codegen.errors import UserError

MAX_LEVELS = 8


def bad(key: str, got: object, expected: str) -> UserError:
    """Return the error for a field whose value is not acceptable."""
    return UserError(
        f"config key {key!r}", "not acceptable", got=got, expected=expected, action="Change it"
    )


def is_instance(value: object, hint: Any) -> bool:
    """Tell whether ``value`` is of the type that ``hint`` names; numbers must be finite."""
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        return isinstance(value, tuple) and all(is_instance(v, item) for v in value)
    if hint is float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and _is_finite(typing.cast(float, value))
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number that no float holds
        return False


def type_text(hint: Any) -> str:
    """Return what the type ``hint`` is called in messages."""
    texts = {str: "a text", int: "a whole number", float: "a finite number"}
    if typing.get_origin(hint) is tuple:
        return f"a list, each entry {texts[typing.get_args(hint)[0]]}"
    return texts[hint]


def check_sparsity(sparsity: tuple[float, ...]) -> None:
    """Refuse sparsities that are no strictly nested levels."""
    where = "sparsity"
    listing = ", ".join(f"{s:g}" for s in sparsity)
    if not 1 <= len(sparsity) <= MAX_LEVELS:
        raise UserError(
            where,
            "wrong number of levels",
            got=len(sparsity),
            expected=f"1..{MAX_LEVELS} sparsities",
            action="Give one sparsity per level",
        )
    if any(not 0 <= s < 1 for s in sparsity):
        raise UserError(
            where,
            "not a share of pruned weights",
            got=listing,
            expected="numbers from 0 (dense) to below 1",
            action="Write 90 % as 0.9",
        )
    if any(a <= b for a, b in itertools.pairwise(sparsity)):
        raise UserError(
            where,
            "levels are not strictly nested",
            got=listing,
            expected="strictly decreasing numbers, the sparsest level first",
            action=f"Try {', '.join(f'{s:g}' for s in sorted(set(sparsity), reverse=True))}",
        )


def check_split(split: tuple[float, ...], epochs: int) -> None:
    """Refuse shares of the epochs that do not add up."""
    if len(split) != 4 or min(split) < 0 or abs(sum(split) - 1) > 1e-6:
        expected = "four shares that add up to 1: warm-up, ramp, recovery, quantize"
        raise bad("split", split, expected)
    if epochs < 1:
        raise bad("epochs", epochs, "at least 1")


def check_flash(
    flash_bytes: int,
    flash_total_bytes: int,
    board: str,
    is_dense: bool,
    how: Mapping[str, tuple[str, str]],
) -> None:
    """Refuse what is said about flash where it does not go together.

    Args:
        flash_bytes: of weights and tables; 0 for no budget.
        flash_total_bytes: of the whole firmware; 0 for no budget.
        board: of the whole firmware.
        is_dense: whether nothing is pruned.
        how: settings that say how a budget is met: what is given, and the default.
    """
    for key, value in (("flash_bytes", flash_bytes), ("flash_total_bytes", flash_total_bytes)):
        if value < 0:
            raise bad(key, value, "a number of bytes, or 0 for no budget")
    if bool(flash_total_bytes) != bool(board):
        raise UserError(
            "--flash-total",
            "the flash of a whole firmware is that of one board",
            got=f"board {board!r}, {flash_total_bytes} bytes",
            expected="--flash-total and --board together",
            action="Give both, or --flash for the weights and tables alone",
        )
    if flash_bytes and is_dense:
        raise UserError(
            "--flash",
            "a dense network has nothing to fit a budget with",
            got="--sparsity 0",
            expected="no --sparsity, or levels that give the ratios of their densities",
            action="Leave --sparsity out: a network that fits is not pruned",
        )
    if flash_bytes or flash_total_bytes:
        return
    for key, (given, default) in how.items():
        if given != default:
            raise UserError(
                f"--{key}",
                "says how a flash budget is met, and there is none",
                got=given,
                expected="--flash or --flash-total beside it",
                action="Give a budget, or leave it out",
            )
