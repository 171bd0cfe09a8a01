"""Checks of single values of a configuration; each raises UserError for a wrong one."""

from __future__ import annotations

import itertools
import math
import typing
from collections.abc import Callable, Mapping
from typing import Any

from codegen.errors import UserError

MAX_LEVELS = 8
_RANGES: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (
    (("reach",), lambda x: x >= 0, "a number above 0, or 0 to have it measured"),
    (("batch",), lambda x: x >= 2, "at least 2 (batch normalization needs a batch)"),
    (("lr", "lr_quantized", "distill_temperature"), lambda x: x > 0, "a number above 0"),
    (("weight_decay", "clip"), lambda x: x >= 0, "0 or more"),
    (("momentum", "distill_weight", "lr_end"), lambda x: 0 <= x <= 1, "0..1"),
    (("test_share", "warmup", "ema"), lambda x: 0 <= x < 1, "0 or more and below 1"),
    (("seed",), lambda x: 0 <= x < 2**63, "0..2**63-1"),
    (("margin",), lambda x: x >= -1, "0 or more, or -1 where the data say"),
)
"""Names of settings, whether a value of theirs will do, and what is expected."""


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


def check_ranges(values: Mapping[str, Any]) -> None:
    """Refuse settings, by their names, that are out of their ranges."""
    for keys, fits, expected in _RANGES:
        for key in keys:
            if not fits(values[key]):
                raise bad(key, values[key], expected)


def check_sides(key: str, sides: tuple[int, ...], least: int) -> None:
    """Refuse what is neither empty nor a height and a width of at least ``least`` pixels; of 0,
    which stands for a choice, both or none."""
    if sides and (len(sides) != 2 or min(sides) < least or (0 in sides and max(sides))):
        raise bad(key, sides, "height and width, both at least 1")


def check_board(board: str, flash_total_bytes: int, tile: tuple[int, ...]) -> None:
    """Refuse a board that nothing is to fit, and what is to fit a board where none is named."""
    if board and not flash_total_bytes and not tile:
        raise UserError(
            "--board",
            "says what a firmware or a tile has to fit, and there is neither",
            got=board,
            expected="--flash-total or --tile beside it",
            action="Leave it out: any run can be generated for any board",
        )
    if flash_total_bytes and not board:
        raise UserError(
            "--flash-total",
            "the flash of a whole firmware is that of one board",
            got=f"{flash_total_bytes} bytes and no board",
            expected="--flash-total and --board together",
            action="Give both, or --flash for the weights and tables alone",
        )
    if tile and not any(tile) and not board:
        raise UserError(
            "--tile",
            "the largest tile is that of one board",
            got="auto and no board",
            expected="--tile auto and --board together",
            action="Add --board, or give height and width",
        )


def check_flash(
    flash_bytes: int,
    flash_total_bytes: int,
    is_dense: bool,
    how: Mapping[str, tuple[str, str]],
) -> None:
    """Refuse what is said about flash where it does not go together.

    Args:
        flash_bytes: of weights and tables; 0 for no budget.
        flash_total_bytes: of the whole firmware; 0 for no budget.
        is_dense: whether nothing is pruned.
        how: settings that say how a budget is met: what is given, and the default.
    """
    for key, value in (("flash_bytes", flash_bytes), ("flash_total_bytes", flash_total_bytes)):
        if value < 0:
            raise bad(key, value, "a number of bytes, or 0 for no budget")
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
