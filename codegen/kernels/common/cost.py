"""A first cycle model: linear in groups, outputs and expanded elements.

It ranks tiles and kernels and fills ``nn_level_info.cycles`` where nothing was counted. The
coefficients are executed instructions on the emulated Cortex-M4 (DSP kernels, gcc 12 -O3), fitted
to pairs of runs of a 3x3, 16x16x32 -> 32 layer at densities 100 % and 25 %, at 32 and 8 channels,
and of single layers of the other operators; the softmax is an estimate. Cycles are instructions
times one factor. Expect errors of tens of per cent away from those layers; numbers from this model
are "modelled", never "measured".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NAME = "analytic model fitted to Cortex-M4 instruction counts; not measured, errors of tens of %"
"""Print it beside every figure of this module."""

CYCLES_PER_INSTRUCTION = 1.22
"""Pipeline-model estimate of the scheduled 1x4 loop on a Cortex-M4: 4.27 M cycles for 3.50 M."""


@dataclass(frozen=True)
class TileCost:
    """Instructions of one output channel and tile."""

    unit: float
    """Per stored unit: a group, or four dense weights."""
    fixed: float
    """Pointers, segment ends, tables, requantizing and storing the tile's outputs."""


NESTED: Mapping[int, Mapping[int, TileCost]] = {
    4: {
        1: TileCost(11.0, 18.1),
        2: TileCost(15.0, 27.9),
        3: TileCost(19.0, 32.0),
        4: TileCost(23.0, 36.0),
        5: TileCost(27.0, 38.7),
        6: TileCost(31.0, 43.5),
    },
    2: {
        1: TileCost(6.5, 23.6),
        2: TileCost(8.5, 37.0),
        3: TileCost(10.5, 40.7),
        4: TileCost(12.5, 43.1),
        5: TileCost(14.5, 47.1),
        6: TileCost(16.5, 57.6),
    },
    1: {
        1: TileCost(7.0, 19.3),
        2: TileCost(9.0, 22.8),
        3: TileCost(11.0, 30.6),
        4: TileCost(13.0, 35.7),
        5: TileCost(15.0, 39.6),
        6: TileCost(17.0, 43.8),
        7: TileCost(19.0, 48.3),
        8: TileCost(21.0, 53.9),
    },
}
"""By group size, then output columns P."""

DENSE: Mapping[int, TileCost] = {
    1: TileCost(5.7, 10.0),
    2: TileCost(9.4, 16.0),
    3: TileCost(12.4, 20.0),
}
"""By output columns P; the unit is four consecutive weights. Two rows at once, four with P = 1."""

DENSE_LINEAR = TileCost(6.0, 15.0)
"""Four output channels share each input; nested linear layers cost what P = 1 costs."""

LEFT_OVER = TileCost(6.6, 30.0)
"""More of a dense output channel and tile without the one or three neighbours that share loads."""

DENSE_PIXEL = 16.0
"""More of a dense output channel where one column is computed at a time."""

LAYER_START = 25.0
"""Per layer."""

NESTED_TILE: Mapping[int, float] = {4: 8.0, 2: 4.0, 1: 20.0}
"""More per output channel and tile of a nested convolution, by group size. This and the next:
what the largest estimate of short walks was above :data:`NESTED`, which ranks storages."""

NESTED_ROW: Mapping[int, float] = {4: 8.0, 2: 8.0, 1: 24.0}
"""More per output channel of a nested linear layer, and again per level above the first."""

EXPAND_ELEMENT = 2.1
"""Per int16 element written to the patch buffer."""

SEGMENT = 8.3
"""Per level above the first and tile of a nested layer: entering another segment."""

SECOND_TILE = 0.02
"""Share of a layer's instructions that another copy of its code, 500 to 700 bytes, must save."""

RESIDUAL_OUTPUT = 4.0


@dataclass(frozen=True)
class DepthwiseCost:
    """Instructions of a depthwise layer on one of its kernel's paths."""

    mac: float
    output: float
    odd_mac: float
    """More per multiply-accumulate of an output that is in no full tile of 2 x 2."""
    channel: float
    """Per channel and band of rows."""


DEPTHWISE_SCHEDULED = DepthwiseCost(0.95, 5.0, 0.6, 60.0)
"""3x3 tiles scheduled by hand, where :func:`codegen.kernels.depthwise_conv.path` finds them."""

DEPTHWISE_TILES = DepthwiseCost(1.3, 6.0, 0.5, 110.0)
"""Compiled tiles; this and the next fitted to 81 layers, the largest of both cores' estimates."""

DEPTHWISE_PLAIN = DepthwiseCost(5.0, 9.0, 0.0, 60.0)
"""One product at a time, for kernels and strides without tiles."""

DEPTHWISE_ELEMENT = 2.1
"""Per input element widened into a plane."""

DEPTHWISE_FILL = 0.5
"""Per output of four channels of which the level lacks one; they are stored at once."""

GROUPED_MAC = 4.3
GROUPED_TAP = 2.6
"""Per output and kernel position, whatever the channels there."""

GROUPED_OUTPUT = 28.0
ADD_ELEMENT = 12.0


@dataclass(frozen=True)
class PoolCost:
    """Instructions of a pooling."""

    element: float
    """Per window element of a channel that is pooled with three others."""
    output: float


MAX_POOL = PoolCost(4.0, 2.0)
AVG_POOL = PoolCost(3.7, 10.0)
POOL_SINGLE = PoolCost(11.0, 12.0)
"""Of a channel by itself: those left of fours, and all of an average too large for 16 bits."""

AVG_POOL_QUAD_ELEMENTS = 255
"""Window elements whose sum fits 16 bits (nn_avg_pool_dsp.h)."""

SOFTMAX_CHANNEL = 34.0
CMSIS_MAC = 1.5
"""CMSIS-NN at 99f736a, gcc 12 -O3: this and the two below from resnet8's 3x3 layers."""

CMSIS_OUTPUT = 53.0
CMSIS_ELEMENT = 7.2
"""Per input element gathered for an output position."""

CMSIS_DEPTHWISE_MAC = 8.4
"""Of its 3x3 function, in ds_cnn."""


def cycles(instructions: float) -> int:
    """Return modelled cycles."""
    return round(CYCLES_PER_INSTRUCTION * instructions)


def cmsis_instructions(macs: int, outputs: int, channels: int) -> float:
    """Return the instructions of a convolution by CMSIS-NN.

    Args:
        macs: multiply-accumulates.
        outputs: output elements.
        channels: output channels, which share what is gathered.
    """
    return macs * (CMSIS_MAC + CMSIS_ELEMENT / channels) + outputs * CMSIS_OUTPUT


def channel_instructions(cost: TileCost, units: float) -> float:
    """Return the instructions of one output channel and tile that walks ``units``."""
    return cost.fixed + cost.unit * units


def row_tiles(tile: int, out_w: int, nested: bool) -> tuple[int, ...]:
    """Return the tiles of one output row, from left to right.

    Where P does not divide the width, a nested layer ends with a narrower tile. A dense one knows
    no tile above 3 and ends with a 2, or two of them rather than a 1.
    """
    whole, rest = divmod(out_w, tile)
    if not nested and rest == 1 and tile == 3:
        whole, rest = whole - 1, 4
    if rest == 0:
        return (tile,) * whole
    return (*(tile,) * whole, *((2, 2) if rest == 4 and not nested else (rest,)))


def best_tile(
    tiles: Mapping[int, TileCost], units_per_channel: float, out_w: int, nested: bool
) -> int:
    """Return the tile P of ``tiles``, at most ``out_w``, with the fewest instructions per row.

    A second, narrower tile is a second copy of the layer's code and must save more than
    :data:`SECOND_TILE`. The larger of equals wins.
    """

    def rank(tile: int) -> tuple[float, int]:
        row = row_tiles(tile, out_w, nested)
        instructions = sum(channel_instructions(tiles[each], units_per_channel) for each in row)
        return instructions * (1 + SECOND_TILE * (len(set(row)) - 1)), -tile

    return min((tile for tile in tiles if tile <= out_w), key=rank)
