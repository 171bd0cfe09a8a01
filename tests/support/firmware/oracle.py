"""NumPy oracle and weight packers for the kernel tests, written from docs/ alone.

Independent of ``codegen``: what it checks must not depend on the code generator being right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.int64]
NEVER = 255


@dataclass(frozen=True)
class Shape:
    """Field order of nn_window_shape."""

    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    out_c: int
    kernel_h: int = 1
    kernel_w: int = 1
    stride_h: int = 1
    stride_w: int = 1
    pad_top: int = 0
    pad_left: int = 0


@dataclass(frozen=True)
class Requant:
    """Field order of nn_requant."""

    in_zero_point: int
    multiplier_shift: int
    bias_delta_shift: int
    fraction_bits: int
    pre_shift: int
    act_min: int
    act_max: int
    residual_zero_point: int


def windows(x: Array, s: Shape, fill: int) -> Array:
    """Return the windows of ``x`` (h, w, c) as (out_h, out_w, kernel_h, kernel_w, c)."""
    bottom = max(0, (s.out_h - 1) * s.stride_h + s.kernel_h - s.pad_top - s.in_h)
    right = max(0, (s.out_w - 1) * s.stride_w + s.kernel_w - s.pad_left - s.in_w)
    padded = np.pad(x, ((s.pad_top, bottom), (s.pad_left, right), (0, 0)), constant_values=fill)
    rows = np.arange(s.out_h)[:, None] * s.stride_h + np.arange(s.kernel_h)
    columns = np.arange(s.out_w)[:, None] * s.stride_w + np.arange(s.kernel_w)
    return padded[rows[:, None, :, None], columns[None, :, None, :]]


def accumulate(x: Array, weight: Array, s: Shape, zero_point: int, groups: int = 1) -> Array:
    """Return int64 accumulators (out_h, out_w, out_c); weight is (out_c, kh, kw, in_c / groups)."""
    patches = windows(x - zero_point, s, 0)
    step_in, step_out = s.in_c // groups, s.out_c // groups
    parts = [
        np.einsum(
            "yxabc,oabc->yxo",
            patches[..., g * step_in : (g + 1) * step_in],
            weight[g * step_out : (g + 1) * step_out],
        )
        for g in range(groups)
    ]
    acc: Array = np.concatenate(parts, axis=-1)
    assert np.abs(acc).max(initial=0) < 2**31
    return acc


def requantize(
    acc: Array,
    r: Requant,
    multiplier: Array,
    bias: Array,
    delta: Array | None,
    residual: Array | None,
    residual_multiplier: int,
) -> Array:
    """Apply the nestnet rule of docs/integer-contract.md."""
    scaled_acc = acc << r.pre_shift
    assert np.abs(scaled_acc).max(initial=0) < 2**31
    total = bias + (0 if delta is None else delta << r.bias_delta_shift)
    t = total + ((scaled_acc * (multiplier << r.multiplier_shift) + 2**31) >> 32)
    if residual is not None:
        t = t + (((residual - r.residual_zero_point) * residual_multiplier + 2**15) >> 16)
    return np.clip(t >> r.fraction_bits, r.act_min, r.act_max)


def add(
    a: Array, b: Array, m0: int, m1: int, offset: int, shift: int, low: int, high: int
) -> Array:
    """Elementwise sum."""
    return np.clip((a * m0 + b * m1 + offset) >> shift, low, high)


def seen(index: int, extent: int, out: int, kernel: int, stride: int, pad: int) -> range:
    """Return the rows or columns of a pool's window, those outside the image too."""
    if stride == 0:  # adaptive
        return range(int(np.floor(index * extent / out)), int(np.ceil((index + 1) * extent / out)))
    return range(index * stride - pad, index * stride - pad + kernel)


def pool_windows(s: Shape) -> dict[tuple[int, int], tuple[range, range]]:
    """Return rows and columns of the window of each output row and column."""
    return {
        (y, x): (
            seen(y, s.in_h, s.out_h, s.kernel_h, s.stride_h, s.pad_top),
            seen(x, s.in_w, s.out_w, s.kernel_w, s.stride_w, s.pad_left),
        )
        for y in range(s.out_h)
        for x in range(s.out_w)
    }


def real(x: Array, rows: range, columns: range) -> Array:
    """Return a window's elements inside the image, (elements, c)."""
    inside = [
        x[i, j] for i in rows for j in columns if i in range(len(x)) and j in range(x.shape[1])
    ]
    return np.array(inside, np.int64).reshape(-1, x.shape[2])


def mul(
    a: Array, b: Array, za: int, zb: int, m: int, offset: int, shift: int, low: int, high: int
) -> Array:
    """Elementwise product."""
    return np.clip(((a - za) * (b - zb) * m + offset) >> shift, low, high)


def matmul(a: Array, b: Array, numbers: Mapping[str, int]) -> Array:
    """Rows of ``a`` (batches, rows, depth) times those of ``b``, (batches, columns, depth)."""
    acc = np.einsum("zik,zjk->zij", a - numbers["a_zero"], b - numbers["b_zero"])
    scaled = acc << numbers["pre_shift"]
    assert np.abs(scaled).max() < 2**31
    t = numbers["bias"] + ((scaled * numbers["m"] + 2**31) >> 32)
    return np.clip(t >> numbers["fraction_bits"], numbers["act_min"], numbers["act_max"])


def max_pool(x: Array, s: Shape) -> Array:
    """Maximum over real elements, -128 where there are none."""
    result = np.empty((s.out_h, s.out_w, s.out_c), np.int64)
    for at, window in pool_windows(s).items():
        result[at] = real(x, *window).max(axis=0, initial=-128)
    return result


def avg_pool(
    x: Array, s: Shape, zero_point: int, counted: tuple[int, int, int, int] | None = None
) -> Array:
    """Mean with padding as real zero, of what is in the image or within ``counted`` (top, left,
    bottom, right) around it; None for whole windows."""
    result = np.empty((s.out_h, s.out_w, s.out_c), np.int64)
    for at, (rows, columns) in pool_windows(s).items():
        n = s.kernel_h * s.kernel_w
        if counted is not None:
            top, left, bottom, right = counted
            n = sum(i in range(-top, s.in_h + bottom) for i in rows)
            n = max(1, n * sum(j in range(-left, s.in_w + right) for j in columns))
        total = (real(x, rows, columns) - zero_point).sum(axis=0)
        result[at] = zero_point + ((total * round(2**22 / n) + 2**21) >> 22)
    return np.clip(result, -128, 127)


def bilinear(x: Array, s: Shape, align_corners: int) -> Array:
    """Means of the four elements around each output."""
    sides = [
        [places(at, extent, out, align_corners) for at in range(out)]
        for extent, out in ((s.in_h, s.out_h), (s.in_w, s.out_w))
    ]
    result = np.zeros((s.out_h, s.out_w, s.out_c), np.int64)
    for y, rows in enumerate(sides[0]):
        for at, columns in enumerate(sides[1]):
            for row, of_row in rows:
                for column, of_column in columns:
                    result[y, at] += x[row, column] * of_row * of_column
    return (result + 2**21) >> 22


def places(at: int, extent: int, out: int, align_corners: int) -> list[tuple[int, int]]:
    """Return the two elements around an output along an axis, and their weights of 2^11."""
    unit = max(out - 1, 1) if align_corners else 2 * out
    place = at * (extent - 1) * (out > 1) if align_corners else max(0, (2 * at + 1) * extent - out)
    first, rest = divmod(place, unit)
    weight = (rest * 2048 + unit // 2) // unit
    return [(first, 2048 - weight), (min(first + 1, extent - 1), weight)]


def softmax(x: Array, table: Array, gain: int) -> Array:
    """Softmax over the last axis, so many steps for 1."""
    e = table[x.max(axis=-1, keepdims=True) - x]
    total = e.sum(axis=-1, keepdims=True)
    return np.minimum((gain * e + total // 2) // total - 128, 127)


def normalize(x: Array, center: int, in_zero: int, out_zero: int, table: tuple[int, ...]) -> Array:
    """Normalize the sets of (blocks, positions, groups, channels)."""
    x = x - in_zero
    result = np.zeros_like(x)
    for block, group in np.ndindex(x.shape[0], x.shape[2]):
        part = x[block, :, group]
        d, power = part, int((part**2).sum())
        if center:
            power = part.size * power - int(part.sum()) ** 2
            d = part.size * part - part.sum()
        power = power * 2**8 + (table[2] << table[3])
        exponent = 0
        while power >= 2**32:
            power, exponent = power >> 2, exponent - 1
        while 0 < power < 2**30:
            power, exponent = power << 2, exponent + 1
        factor = table[0] // math.isqrt(power) if power else 0
        shift = 25 + exponent - table[1]
        moved = d << shift if shift >= 0 else d >> -shift
        assert np.abs(moved).max() < 2**31
        t = (moved * (factor << 15) + 2**31) >> 32
        result[block, :, group] = np.clip((t + out_zero * 256 + 128) >> 8, -128, 127)
    return result


def lookup(x: Array, table: Array) -> Array:
    """Each element's entry of a table that begins at -128."""
    return table[x + 128]


def pad(x: Array, gaps: tuple[int, int, int, int, int, int], fill: int) -> Array:
    """Rows of runs (rows, runs, size) with what is around them."""
    top, left, front, back, right, bottom = gaps
    around = np.pad(x, ((0, 0), (0, 0), (front, back)), constant_values=fill)
    rows = np.pad(around.reshape(len(x), -1), ((0, 0), (left, right)), constant_values=fill)
    return np.pad(rows.reshape(-1), (top, bottom), constant_values=fill)


def rearrange(x: Array, offset: int, extents: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """The elements that nested loops meet."""
    at = offset + sum(
        index * stride for index, stride in zip(np.indices(extents), strides, strict=True)
    )
    result: Array = x[at].reshape(-1)
    return result


def level_weights(weight: Array, level_map: Array, group: int, level: int) -> Array:
    """Return ``weight`` (out_c, kh, kw, in_c) with the groups that ``level`` lacks set to zero."""
    keep = np.repeat(level_map <= level, group, axis=-1)[..., : weight.shape[-1]]
    return np.where(keep, weight, 0)


def _segment(entries: list[tuple[int, list[int]]], group: int) -> tuple[list[int], list[list[int]]]:
    """Return advances and weights of one segment: gaps bridged, never empty, pairs completed."""
    advances: list[int] = []
    weights: list[list[int]] = []
    last = 0
    for position, values in entries:
        while position - last > 127:
            advances.append(127)
            weights.append([0] * group)
            last += 127
        advances.append(position - last)
        weights.append(values)
        last = position
    while not advances or (group == 2 and len(advances) % 2):
        advances.append(0)
        weights.append([0] * group)
    return advances, weights


def pack_stream(weight: Array, level_map: Array, group: int, level: int) -> tuple[bytes, bytes]:
    """Return one level's positions and weights (docs/format.md, "The nested format")."""
    out_c, kernel_h, kernel_w, in_c = weight.shape
    padded_c = -(-in_c // group) * group
    full = np.zeros((out_c, kernel_h, kernel_w, padded_c), np.int64)
    full[..., :in_c] = weight
    # Position order is kx, ky, ci.
    by_position = full.transpose(0, 2, 1, 3).reshape(out_c, -1, group)
    maps = level_map.transpose(0, 2, 1, 3).reshape(out_c, -1)
    positions = bytearray()
    packed = bytearray()
    for channel in range(out_c):
        kept = np.flatnonzero(maps[channel] == level)
        entries = [(int(p), [int(v) for v in by_position[channel, p]]) for p in kept]
        advances, weights = _segment(entries, group)
        positions += bytes(advances[:-1]) + bytes([advances[-1] | 128])
        if group == 4:
            ordered = [w[i] for w in weights for i in (0, 2, 1, 3)]
        elif group == 2:
            ordered = [
                v
                for a, b in zip(weights[::2], weights[1::2], strict=True)
                for v in (a[0], b[0], a[1], b[1])
            ]
        else:
            ordered = [w[0] for w in weights]
        packed += np.array(ordered, np.int8).tobytes()
    return bytes(positions), bytes(packed)


def pack_dense(weight: Array, padded_c: int) -> bytes:
    """Return rows in patch order, padded to fours stored as w0 w2 w1 w3."""
    out_c, kernel_h, kernel_w, in_c = weight.shape
    full = np.zeros((out_c, kernel_w, kernel_h, padded_c), np.int8)
    full[..., :in_c] = weight.transpose(0, 2, 1, 3)
    row = full.reshape(out_c, -1)
    row = np.pad(row, ((0, 0), (0, -row.shape[1] % 4)))
    return row.reshape(out_c, -1, 4)[..., [0, 2, 1, 3]].tobytes()
