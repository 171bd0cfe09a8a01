"""When each kernel reads and writes each element: the order that its contract header promises.

Written from firmware/kernels, not from codegen/kernels/common/in_place.py: each checks the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codegen.kernels.common.parts import PartArgs
from codegen.kernels.common.repeat import Repeat
from codegen.kernels.common.shape import WindowShape


@dataclass(frozen=True, eq=False)
class Order:
    """Moments of one call, counted from 0; an element is read before one written at that moment."""

    last_read: tuple[np.ndarray, ...]
    """Per input and element in memory order, when it is read last; -1 for never."""
    written: np.ndarray
    """Per output element in memory order."""

    def clobbered(self, position: int, distance: int) -> np.ndarray:
        """Return which elements of an input change before they are read.

        Args:
            position: of the input.
            distance: bytes from the output's start up to the input's.
        """
        read = self.last_read[position]
        at = np.arange(len(read)) + distance
        inside = (at >= 0) & (at < len(self.written))
        changed = np.zeros(len(read), bool)
        changed[inside] = self.written[at[inside]] < read[inside]
        return changed


def elementwise(inputs: int, count: int) -> Order:
    """One element after the other: lookups, and a softmax's last pass."""
    clock = np.arange(count)
    return Order((clock,) * inputs, clock)


def repeated(order: Repeat, second: int) -> Order:
    """One element after the other, the second operand's again and again: sums and products."""
    clock, last = np.arange(order.elements), np.zeros(second, int)
    for moment in clock:
        block, rest = divmod(int(moment), order.rows * order.count)
        row, k = divmod(rest, order.count)
        last[block * order.block_step + row * order.row_step + k * order.step] = moment
    return Order((clock, last), clock)


def concat(runs: int, sizes: list[int]) -> Order:
    """Input after input, its bytes in memory order: concatenations."""
    read, written, moment = [], np.zeros((runs, sum(sizes)), int), 0
    for position, size in enumerate(sizes):
        clock = np.arange(runs * size) + moment
        first = sum(sizes[:position])
        written[:, first : first + size] = clock.reshape(runs, size)
        read.append(clock)
        moment += runs * size
    return Order(tuple(read), written.reshape(-1))


def at_once(in_count: int, out_count: int) -> Order:
    """All is read, then all is written: linear layers."""
    return Order((np.zeros(in_count, int),), np.zeros(out_count, int))


def apart(first: int, second: int, out_count: int) -> Order:
    """Nothing may lie over anything: products of two activations."""
    return Order((np.ones(first, int), np.ones(second, int)), np.zeros(out_count, int))


def unknown(in_count: int, out_count: int) -> Order:
    """Nothing is promised: CMSIS-NN."""
    return Order((np.ones(in_count, int),), np.zeros(out_count, int))


def patches(s: WindowShape, tile: int, *, nested: bool, residual: bool) -> Order:
    """Rows slide through the patch buffer (nn_patch_row), then tiles of the row are written."""
    row = _tiles(s, tile, nested=nested)
    moments = s.out_w * s.out_c
    read = np.full((s.in_h, s.in_w * s.in_c), -1)
    written = np.zeros((s.out_h, s.out_w, s.out_c), int)
    for oy in range(s.out_h):
        slides = s.stride_h < s.kernel_h and oy > 0
        for ky in range(s.kernel_h - s.stride_h if slides else 0, s.kernel_h):
            iy = oy * s.stride_h - s.pad_top + ky
            if 0 <= iy < s.in_h:
                read[iy] = oy * moments
        written[oy] = oy * moments + row
    flat = written.reshape(-1)
    return Order((read.reshape(-1), flat) if residual else (read.reshape(-1),), flat)


def joined(
    s: WindowShape, parts: Sequence[PartArgs], tile: int, *, nested: bool, residual: bool
) -> Order:
    """The same where rows are joined of parts (nn_patch_put_part)."""
    whole = patches(s, tile, nested=nested, residual=residual)
    rows = whole.last_read[0].reshape(s.in_h, s.in_w, s.in_c)[:, 0, 0]
    read = []
    for item in parts:
        of_part, part = np.full(item.count, -1), item.part
        for y, x in np.ndindex(s.in_h, s.in_w):
            at = part.offset + y // part.rows.repeat * part.rows.outer
            at += y % part.rows.repeat * part.rows.inner
            at += x // part.columns.repeat * part.columns.outer
            at += x % part.columns.repeat * part.columns.inner
            run = of_part[at : at + part.channels]
            run[:] = np.maximum(run, rows[y])
        read.append(of_part)
    return Order((*read, *whole.last_read[1:]), whole.written)


def _tiles(s: WindowShape, tile: int, *, nested: bool) -> np.ndarray:
    """Return when the outputs (out_w, out_c) of a row are written.

    Nested: tile by tile, channel by channel, the last column first as scheduled code has it. Dense:
    a few channels of the whole row, then the next ones.
    """
    order = []
    if nested:
        for left in range(0, s.out_w, tile):
            columns = range(left, min(left + tile, s.out_w))
            order += [(x, c) for c in range(s.out_c) for x in reversed(columns)]
    else:
        rows = 4 if tile == 1 else 2
        whole = s.out_c - s.out_c % rows
        strips = [range(c, c + rows) for c in range(0, whole, rows)]
        strips += [range(c, c + 1) for c in range(whole, s.out_c)]
        for strip in strips:
            order += [(x, c) for x in range(s.out_w) for c in strip]
    clock = np.zeros((s.out_w, s.out_c), int)
    for moment, at in enumerate(order):
        clock[at] = moment
    return clock


def depthwise(s: WindowShape, band: int) -> Order:
    """Band by band and channel by channel: the input is expanded, then the outputs are written."""
    read = np.full((s.in_h, s.in_w, s.in_c), -1)
    written = np.zeros((s.out_h, s.out_w, s.out_c), int)
    moments = np.arange(s.out_c)
    for first in range(0, s.out_h, band):
        end = min(first + band, s.out_h)
        top = first * s.stride_h - s.pad_top
        bottom = (end - 1) * s.stride_h - s.pad_top + s.kernel_h
        read[max(top, 0) : max(bottom, 0)] = moments
        written[first:end] = moments
        moments = moments + s.out_c
    return Order((read.reshape(-1),), written.reshape(-1))


def windows(s: WindowShape, groups: int, *, residual: bool = False) -> Order:
    """Output by output in memory order, each after its window: pools, grouped convolutions."""
    read = np.full((s.in_h, s.in_w, s.in_c), -1)
    clock = np.arange(s.out_h * s.out_w * s.out_c).reshape(s.out_h, s.out_w, s.out_c)
    last_of_group = clock.reshape(s.out_h, s.out_w, groups, -1)[..., -1]
    for oy in range(s.out_h):
        for ox in range(s.out_w):
            rows = _window(oy, s.in_h, s.out_h, s.kernel_h, s.stride_h, s.pad_top)
            columns = _window(ox, s.in_w, s.out_w, s.kernel_w, s.stride_w, s.pad_left)
            read[rows, columns] = last_of_group[oy, ox].repeat(s.in_c // groups)
    flat = clock.reshape(-1)
    return Order((read.reshape(-1), flat) if residual else (read.reshape(-1),), flat)


def _window(index: int, extent: int, out: int, kernel: int, stride: int, pad: int) -> slice:
    """Return the rows or columns of a window; a stride of 0 stands for an adaptive pool's."""
    if stride == 0:
        return slice(index * extent // out, -(-(index + 1) * extent // out))
    return slice(max(index * stride - pad, 0), max(index * stride - pad + kernel, 0))
