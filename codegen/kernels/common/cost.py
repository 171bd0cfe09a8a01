"""A first cycle model: linear in what a kernel does, with coefficients read from one file per core.

It ranks tiles and kernels and fills ``nn_level_info.cycles`` where nothing was counted. What is
multiplied by what stands in each kernel's file; the coefficients, where they come from and how far
they are off in ``codegen/kernels/costs_cortex_m4.toml``. Cycles are instructions times one factor.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

NAME = "analytic model fitted to Cortex-M4 instruction counts; not measured, errors of tens of %"
"""Print it beside every figure of this module."""

FILE = Path(__file__).parent.parent / "costs_cortex_m4.toml"

Record = TypeVar("Record")

_read: set[tuple[str, str]] = set()
"""Tables and keys that some kernel asked for."""


@cache
def _tables() -> dict[str, dict[str, Any]]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def number(table: str, key: str) -> float:
    """Return one coefficient; KeyError if there is none."""
    _read.add((table, key))
    return float(_tables()[table][key])


def record(table: str, key: str, kind: type[Record]) -> Record:
    """Return a group of coefficients as ``kind``; ValueError if the keys are not its fields."""
    _read.add((table, key))
    return _as_record(kind, _tables()[table][key])


def by_number(table: str, key: str, kind: Callable[[Any], Record]) -> Mapping[int, Record]:
    """Return coefficients by a number, such as the group size."""
    _read.add((table, key))
    return {int(name): kind(value) for name, value in _tables()[table][key].items()}


def unread() -> set[tuple[str, str]]:
    """Return the keys of the file that no kernel has asked for."""
    return {(table, key) for table, keys in _tables().items() for key in keys} - _read


def _as_record(kind: type[Record], values: Mapping[str, float]) -> Record:
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if sorted(values) != sorted(names):
        raise ValueError(f"{FILE.name}: keys {sorted(values)} instead of {sorted(names)}")
    return kind(**{name: float(value) for name, value in values.items()})


@dataclass(frozen=True)
class TileCost:
    """Instructions of one output channel and tile."""

    unit: float
    """Per stored unit: a group, or four dense weights."""
    fixed: float
    """Pointers, segment ends, tables, requantizing and storing the tile's outputs."""

    def instructions(self, units: float) -> float:
        """Return the instructions of one output channel and tile that walks ``units``."""
        return self.fixed + self.unit * units


def tile_cost(values: Mapping[str, float]) -> TileCost:
    """Return the tile's cost that a table of the file holds."""
    return _as_record(TileCost, values)


def tile_costs(values: Mapping[str, Mapping[str, float]]) -> Mapping[int, TileCost]:
    """Return tiles' costs by output columns P."""
    return {int(tile): tile_cost(one) for tile, one in values.items()}


Row = Callable[[int, int], tuple[int, ...]]
"""Returns the tiles of one output row, from left to right, given P and the width."""

CYCLES_PER_INSTRUCTION = number("core", "cycles_per_instruction")

LAYER_START = number("common", "layer_start")
"""Per layer."""

EXPAND_ELEMENT = number("common", "expand_element")
"""Per int16 element written to the patch buffer."""

RESIDUAL_OUTPUT = number("common", "residual_output")
"""More of an output with a residual."""

SECOND_TILE = number("common", "second_tile")


def cycles(instructions: float) -> int:
    """Return modelled cycles."""
    return round(CYCLES_PER_INSTRUCTION * instructions)


def best_tile(tiles: Mapping[int, TileCost], units_per_channel: float, out_w: int, row: Row) -> int:
    """Return the tile P of ``tiles``, at most ``out_w``, with the fewest instructions per row.

    A second, narrower tile is a second copy of the layer's code and must save more than
    :data:`SECOND_TILE`. The larger of equals wins.
    """

    def rank(tile: int) -> tuple[float, int]:
        columns = row(tile, out_w)
        instructions = sum(tiles[each].instructions(units_per_channel) for each in columns)
        return instructions * (1 + SECOND_TILE * (len(set(columns)) - 1)), -tile

    return min((tile for tile in tiles if tile <= out_w), key=rank)
