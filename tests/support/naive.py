"""The integer contract once more, as plain loops over Python integers: the oracle's oracle.

Nothing here is shared with codegen/graph/arithmetic.py or codegen/graph/ops/; it is written from
docs/integer-contract.md and the TensorFlow Lite quantization specification.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import product

import numpy as np

from codegen.graph.ir import Graph, Op, Requant, TfliteRequant
from codegen.graph.ops.add import Add
from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.ops.bilinear import Bilinear
from codegen.graph.ops.concat import Concat
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.graph.ops.lookup import Lookup
from codegen.graph.ops.matmul import Matmul
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.ops.mul import Mul
from codegen.graph.ops.normalize import Normalize
from codegen.graph.ops.pad import Pad
from codegen.graph.ops.rearrange import Rearrange
from codegen.graph.ops.reshape import Reshape
from codegen.graph.ops.softmax import Softmax


def run(graph: Graph, inputs: Sequence[np.ndarray], level: int) -> dict[str, np.ndarray]:
    """Return every value for one sample, an (h, w, c) array per input."""
    values = dict(zip(graph.inputs, inputs, strict=True))
    for op in graph.ops:
        values[op.output] = compute(op, graph, values, level)
    return values


def compute(op: Op, graph: Graph, values: dict[str, np.ndarray], level: int) -> np.ndarray:
    """Return one op's output."""
    shape = graph.value(op.output).shape
    result = np.zeros(shape, np.int8)
    if isinstance(op, Reshape):
        return values[op.input].reshape(shape)
    if isinstance(op, Concat):
        return concat(op, values, result)
    if isinstance(op, Bilinear):
        return bilinear(op, values, result)
    if isinstance(op, Pad):
        return pad(op, graph, values, result)
    if isinstance(op, Rearrange):
        return rearrange(op, values, result)
    for y, x, c in product(*map(range, shape)):
        if isinstance(op, Conv2D):
            result[y, x, c] = conv(op, graph, values, level, y, x, c)
        elif isinstance(op, Linear):
            result[y, x, c] = linear(op, graph, values, level, c)
        elif isinstance(op, Add):
            result[y, x, c] = add(op, values, level, y, x, c)
        elif isinstance(op, Matmul):
            result[y, x, c] = matmul(op, graph, values, level, y, x, c)
        elif isinstance(op, Mul):
            result[y, x, c] = mul(op, graph, values, level, y, x, c)
        elif isinstance(op, Normalize):
            result[y, x, c] = normalize(op, graph, values, level, y, x, c)
        elif isinstance(op, Softmax):
            result[y, x, c] = softmax(op, values, level, y, x, c)
        elif isinstance(op, Lookup):
            row = 0 if len(op.table) == 1 else level
            result[y, x, c] = op.table[row][int(values[op.input][y, x, c]) + 128]
        else:
            result[y, x, c] = pool(op, graph, values, y, x, c)
    return result


def kept(op: Conv2D | Linear, index: tuple[int, ...], level: int) -> int:
    """Return the weight at ``index``, 0 if ``level`` has not its group."""
    if op.group_level is not None:
        group = (*index[:-1], index[-1] // op.group_size)
        if isinstance(op, Conv2D) and op.groups != 1:
            group = (index[0], 0, 0, 0)
        if int(op.group_level[group]) > level:
            return 0
    return int(op.weight[index])


def conv(op, graph, values, level, y, x, c):  # type: ignore[no-untyped-def]
    image = values[op.input]
    height, width, _ = image.shape
    _, kernel_h, kernel_w, per_group = op.weight.shape
    zero_point = graph.value(op.input).zero_point
    first = c // (op.weight.shape[0] // op.groups) * per_group
    acc = 0
    for ky, kx, i in product(range(kernel_h), range(kernel_w), range(per_group)):
        row = y * op.stride[0] + ky - op.padding[0]
        column = x * op.stride[1] + kx - op.padding[1]
        if 0 <= row < height and 0 <= column < width:
            value = int(image[row, column, first + i]) - zero_point
            acc += value * kept(op, (c, ky, kx, i), level)
    residual = None
    if op.residual is not None:
        r = int(values[op.residual.input][y, x, c])
        r -= graph.value(op.residual.input).zero_point
        residual = (r * int(op.residual.multiplier[level]) + 2**15) >> 16
    zero_point = graph.value(op.output).zero_point
    return requantize(acc, op, level, c, zero_point, residual)


def linear(op, graph, values, level, c):  # type: ignore[no-untyped-def]
    zero_point = graph.value(op.input).zero_point
    flat = [int(value) - zero_point for value in values[op.input].reshape(-1)]
    acc = sum(value * kept(op, (c, i), level) for i, value in enumerate(flat))
    return requantize(acc, op, level, c, graph.value(op.output).zero_point, None)


def requantize(acc, op, level, c, zero_point, residual):  # type: ignore[no-untyped-def]
    rule = op.requant
    if isinstance(rule, TfliteRequant):
        total = zero_point + tflite(
            acc + int(rule.bias[level, c]),
            int(rule.multiplier[level, c]),
            int(rule.shift[level, c]),
        )
    else:
        assert isinstance(rule, Requant)
        big = int(rule.multiplier[level, c]) * 2**rule.multiplier_shift
        bias = int(rule.bias[c]) + int(rule.bias_delta[level, c]) * 2**rule.bias_delta_shift
        assert abs(acc * 2**rule.pre_shift) < 2**31
        total = bias + ((acc * 2**rule.pre_shift * big + 2**31) // 2**32)
        total += residual or 0
        total //= 2**rule.fraction_bits
    return max(op.act_min, min(op.act_max, total))


def tflite(value: int, multiplier: int, shift: int) -> int:
    """SaturatingRoundingDoublingHighMul then RoundingDivideByPOT, from their definitions."""
    product_ = value * 2 ** max(shift, 0) * multiplier
    nudge = 2**30 if product_ >= 0 else 1 - 2**30
    high = abs(product_ + nudge) // 2**31
    high = high if product_ + nudge >= 0 else -high
    divisor = 2 ** max(-shift, 0)
    magnitude = (abs(high) + divisor // 2) // divisor
    return magnitude if high >= 0 else -magnitude


def add(op, values, level, y, x, c):  # type: ignore[no-untyped-def]
    total = int(op.offset[level])
    for value, multiplier in zip(operands(op, values), op.multiplier[level], strict=True):
        total += met(value, y, x, c) * int(multiplier)
    return max(op.act_min, min(op.act_max, total >> op.shift))


def operands(op, values):  # type: ignore[no-untyped-def]
    return [values[name] for name in op.inputs] + ([] if op.constant is None else [op.constant])


def met(value, y, x, c):  # type: ignore[no-untyped-def]
    """Return the element of an operand that meets one of the whole."""
    height, width, channels = value.shape
    return int(value[y % height, x % width, c % channels])


def mul(op, graph, values, level, y, x, c):  # type: ignore[no-untyped-def]
    total = int(op.multiplier[level])
    points = [graph.value(name).zero_point for name in op.inputs] + [0]
    for value, zero_point in zip(operands(op, values), points, strict=False):
        total *= met(value, y, x, c) - zero_point
    total += int(op.offset[level])
    assert abs(total) < 2**31
    return max(op.act_min, min(op.act_max, total >> op.shift))


def matmul(op, graph, values, level, y, x, c):  # type: ignore[no-untyped-def]
    a, b = (values[name][y].tolist() for name in op.inputs)
    points = [graph.value(name).zero_point for name in op.inputs]
    column = [row[c] for row in b] if op.by_columns else b[c]
    acc = sum((p - points[0]) * (q - points[1]) for p, q in zip(a[x], column, strict=True))
    assert abs(acc * 2**op.pre_shift) < 2**31
    total = (acc * 2**op.pre_shift * int(op.multiplier[level]) + 2**31) // 2**32
    total += graph.value(op.output).zero_point * 2**op.fraction_bits
    total = math.floor(Fraction(total, 2**op.fraction_bits) + Fraction(op.fraction_bits > 0, 2))
    return max(op.act_min, min(op.act_max, total))


def normalize(op, graph, values, level, y, x, c):  # type: ignore[no-untyped-def]
    image = values[op.input]
    first = c // op.channels * op.channels
    places = [(y, x)]
    if op.positions > 1:
        places = list(product(range(image.shape[0]), range(image.shape[1])))
    zero_point = graph.value(op.input).zero_point
    members = [
        int(image[row, column, first + k]) - zero_point
        for row, column in places
        for k in range(op.channels)
    ]
    mine, power = int(image[y, x, c]) - zero_point, sum(value * value for value in members)
    if op.center:
        mine = mine * len(members) - sum(members)
        power = power * len(members) - sum(members) ** 2
    mantissa, exponent, epsilon, epsilon_shift = (int(number) for number in op.table[level])
    power = power * 2**8 + epsilon * 2**epsilon_shift
    shift, factor = 25 - exponent, 0
    while power >= 2**32:
        power, shift = power // 4, shift - 1
    while 0 < power < 2**30:
        power, shift = power * 4, shift + 1
    if power:
        factor = mantissa // math.isqrt(power)
    moved = mine * 2**shift if shift >= 0 else mine // 2**-shift
    assert abs(moved) < 2**31
    t = (moved * factor * 2**15 + 2**31) // 2**32
    return max(-128, min(127, (t + graph.value(op.output).zero_point * 2**8 + 2**7) // 2**8))


def pool(op, graph, values, y, x, c):  # type: ignore[no-untyped-def]
    image = values[op.input]
    extents, outs = image.shape[:2], graph.value(op.output).shape[:2]
    axes = []
    for axis, at in enumerate((y, x)):
        if op.stride[axis]:
            first = at * op.stride[axis] - op.padding[axis]
            axes.append(range(first, first + op.kernel[axis]))
        else:
            ends = [Fraction(i * extents[axis], outs[axis]) for i in (at, at + 1)]
            axes.append(range(math.floor(ends[0]), math.ceil(ends[1])))
    inside = [
        at for at in product(*axes) if all(0 <= a < n for a, n in zip(at, extents, strict=True))
    ]
    window = [int(image[row, column, c]) for row, column in inside]
    if isinstance(op, MaxPool):
        return max(window)
    assert isinstance(op, AvgPool)
    zero_point = graph.value(op.input).zero_point
    top, left, bottom, right = op.counted
    rows, columns = range(-top, extents[0] + bottom), range(-left, extents[1] + right)
    count = sum(row in rows and column in columns for row, column in product(*axes))
    total = sum(value - zero_point for value in window) * round(2**22 / count) + 2**21
    return max(-128, min(127, zero_point + total // 2**22))


def softmax(op, values, level, y, x, c):  # type: ignore[no-untyped-def]
    row = [int(value) for value in values[op.input][y, x]]
    power = [int(op.table[max(row) - value]) for value in row]
    return min(127, (power[c] * op.gain[level] + sum(power) // 2) // sum(power) - 128)


def concat(op, values, result):  # type: ignore[no-untyped-def]
    first = 0
    for name in op.inputs:
        for at, value in np.ndenumerate(values[name]):
            place = list(at)
            place[op.axis] += first
            result[tuple(place)] = value
        first += values[name].shape[op.axis]
    return result


def rearrange(op, values, result):  # type: ignore[no-untyped-def]
    flat = values[op.input].reshape(-1)
    rounds = product(*(range(extent) for extent, _ in op.loops))
    for at, indices in enumerate(rounds):
        steps = zip(indices, op.loops, strict=True)
        result.reshape(-1)[at] = flat[op.offset + sum(i * stride for i, (_, stride) in steps)]
    return result


def bilinear(op, values, result):  # type: ignore[no-untyped-def]
    image = values[op.input]
    sides = [
        [_sides(at, image.shape[axis], result.shape[axis], op) for at in range(result.shape[axis])]
        for axis in range(2)
    ]
    for (y, rows), (x, columns) in product(*map(enumerate, sides)):
        for c in range(result.shape[2]):
            total = sum(
                int(image[row, column, c]) * of_row * of_column
                for row, of_row in rows
                for column, of_column in columns
            )
            result[y, x, c] = (total + 2**21) // 2**22
    return result


def _sides(at, extent, out, op):  # type: ignore[no-untyped-def]
    if op.align_corners:
        place = Fraction(at * (extent - 1), out - 1) if out > 1 else Fraction(0)
    else:
        place = max(Fraction(0), Fraction(2 * at + 1, 2) * Fraction(extent, out) - Fraction(1, 2))
    first = math.floor(place)
    second = min(first + 1, extent - 1)
    weight = math.floor((place - first) * 2**11 + Fraction(1, 2))
    return (first, 2**11 - weight), (second, weight)


def pad(op, graph, values, result):  # type: ignore[no-untyped-def]
    result[...] = graph.value(op.input).zero_point
    for at, value in np.ndenumerate(values[op.input]):
        result[tuple(i + first for i, first in zip(at, op.before, strict=True))] = value
    return result
