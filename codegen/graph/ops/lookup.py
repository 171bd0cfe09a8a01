"""Table lookup: any function of one element, such as an activation that is no clamp."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import Broken, Graph, Int8Array, OneInput, Shape, Value

ENTRIES = 256
"""One for each int8."""

FIRST = -128
"""The int8 that entry 0 belongs to."""

HALF_UP = 0.5 + 2.0**-20
"""Halves are rounded up; the excess keeps exact halves from floating-point error, so that a table
does not depend on whose exponential function makes it."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Lookup(OneInput):
    """Element by element, ``y = table[level][x + 128]``."""

    table: Int8Array
    """Shape (levels, 256), or (1, 256) where all levels share one table."""

    def of_level(self, level: int) -> Int8Array:
        """Return the table that ``level`` reads, shape (256,)."""
        row: Int8Array = self.table[level if len(self.table) > 1 else 0]
        return row

    def out_shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return the input's shape."""
        return shapes[0]

    def run(self, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Replace every element by its entry."""
        result: Int8Array = self.of_level(level)[inputs[0].astype(np.int64) - FIRST]
        return result

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield the broken rule about the table."""
        shapes = {(len(graph.levels), ENTRIES), (1, ENTRIES)}
        if self.table.dtype != np.int8 or self.table.shape not in shapes:
            got = (self.table.dtype.name, self.table.shape)
            yield f"table is int8 of shape {' or '.join(map(str, sorted(shapes)))}", got


def make_table(
    function: Callable[[FloatArray], FloatArray], source: Value, target: Value
) -> Int8Array:
    """Return the table of ``function`` between two values' grids, one row if all are the same.

    Each entry is the nearest step to the real result, the higher one of two; where the function
    rises, the table never falls.

    Args:
        function: of real numbers, element by element in double precision.
        source: the value it reads.
        target: the value it makes.
    """
    steps = np.arange(FIRST, FIRST + ENTRIES, dtype=np.float64) - source.zero_point
    real = function(np.array(source.scale)[:, None] * steps)
    rows = np.floor(real / np.array(target.scale)[:, None] + HALF_UP) + target.zero_point
    return shared(rows.clip(-128, 127).astype(np.int8))


def shared(table: Int8Array) -> Int8Array:
    """Return ``table`` (rows, 256), as one row where all are the same."""
    return table[:1] if (table == table[0]).all() else table
