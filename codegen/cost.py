"""A first cycle model: linear in groups, outputs and expanded elements.

It ranks tiles and kernels and fills ``nn_level_info.cycles`` where nothing was counted. The
coefficients are Cortex-M4 cycles with flash at zero wait states. Those of the convolutions are
fitted to the pipeline-model estimates of a plain C prototype, 3x3, 16x16x32 -> 32 channels, groups
1x4, 4 columns: 5.1 M cycles at density 100 %, 1.67 M at 30 %, 0.71 M at 10 % (this model gives
5.07, 1.66 and 0.69). The others are instruction counts of straightforward loops. Expect errors of
tens of per cent outside that layer; numbers from it are "modelled".
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Coefficients:
    """Cycles of one kernel's parts."""

    unit: float
    """Per stored unit (a group, or four dense weights) and tile, independent of P."""
    unit_column: float
    """Per unit and output column."""
    tile: float
    """Per tile and output channel: pointers, segment ends, tables."""
    output: float
    """Per output: requantize, clamp, store."""
    expand: float
    """Per int16 element written to the patch buffer."""


NESTED = {
    4: Coefficients(5.0, 7.0, 40.0, 12.0, 2.0),
    2: Coefficients(4.0, 3.5, 40.0, 12.0, 2.0),
    1: Coefficients(5.0, 2.5, 40.0, 12.0, 2.0),
}
"""By group size; the unit is one group."""

DENSE = Coefficients(3.0, 6.5, 36.0, 12.0, 2.0)
"""The unit is four consecutive weights."""

SEGMENT = 8.0
"""Per level and tile of a nested layer: entering a segment."""

RESIDUAL = 6.0
"""Per output with a fused residual."""

LINEAR_UNIT = {4: 10.0, 2: 6.0, 1: 6.0}
"""Nested linear layers, per group; one output column."""

DENSE_LINEAR_UNIT = 7.0
"""Dense linear layers, per four weights."""

DEPTHWISE_MAC = 4.0
GROUPED_MAC = 8.0
ADD_ELEMENT = 9.0
MAX_POOL_ELEMENT = 4.0
AVG_POOL_ELEMENT = 4.0
SOFTMAX_CHANNEL = 30.0
CMSIS_MAC = 2.3
"""CMSIS-NN 3x3 convolution, 16x16x32 -> 32: 5.5 M cycles for 2.36 M multiply-accumulates."""
CMSIS_ADD_ELEMENT = 81.0
"""Instructions per element of its residual addition."""


def tile_cycles(coefficients: Coefficients, units: float, tile: int) -> float:
    """Return the cycles of one output channel and tile of ``tile`` columns."""
    column = coefficients.unit + coefficients.unit_column * tile
    return coefficients.tile + coefficients.output * tile + units * column


def best_tile(
    coefficients: Coefficients, units_per_channel: float, out_w: int, largest: int
) -> int:
    """Return the tile P in 1..largest, at most ``out_w``, with the fewest cycles per row.

    A row takes ``ceil(out_w / P)`` tiles; the last one overlaps its neighbour where P does not
    divide the width, and its columns are computed twice. The larger of equals wins.
    """
    def row_cycles(tile: int) -> float:
        return -(-out_w // tile) * tile_cycles(coefficients, units_per_channel, tile)

    return min(range(1, min(largest, out_w) + 1), key=lambda tile: (row_cycles(tile), -tile))
