"""Convolution, also grouped and depthwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.graph.arithmetic import exact_dtype, requantize
from codegen.graph.cmsis_nn import check_cmsis_nn
from codegen.graph.ir import Broken, Graph, Int8Array, Requant, Residual, Shape, TfliteRequant
from codegen.graph.weighted import (
    MAX_RESIDUAL_MULTIPLIER,
    Weighted,
    check_weighted,
    kept_macs,
    level_weight,
)
from codegen.graph.window import check_window, out_extent, pad, taps


@dataclass(frozen=True, eq=False)
class Conv2D(Weighted):
    """2-D convolution, also grouped and depthwise; zero point of the input as padding.

    The weight has shape (out_c, kernel_h, kernel_w, in_c // groups), and where groups is 1,
    group_level (out_c, kernel_h, kernel_w, ceil(in_c / group_size)). Of a depthwise layer, one
    whose groups are its input and its output channels, group_level has shape (out_c, 1, 1, 1):
    first level that contains the channel's whole filter; group_size is 1, the rule the nestnet
    one, and no residual is fused. It is None where groups is anything else.
    """

    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    """top, left, bottom, right."""
    groups: int
    requant: Requant | TfliteRequant
    act_min: int
    act_max: int
    residual: Residual | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the input and, if one is fused, the residual."""
        return (self.input,) if self.residual is None else (self.input, self.residual.input)

    @property
    def kernel(self) -> tuple[int, int]:
        """Return kernel height and width."""
        return int(self.weight.shape[1]), int(self.weight.shape[2])

    @property
    def channels_have_levels(self) -> bool:
        """Return whether ``group_level`` tells whole output channels apart."""
        return self.groups != 1

    def group_shape(self) -> tuple[int, ...]:
        """Return the shape that ``group_level`` has."""
        return (self.weight.shape[0], 1, 1, 1) if self.groups != 1 else super().group_shape()

    def reading(self, names: Mapping[str, str]) -> Conv2D:
        """Return this operator reading ``names[x]`` wherever it read x."""
        residual = self.residual
        if residual is not None:
            residual = replace(residual, input=names.get(residual.input, residual.input))
        return replace(self, input=names.get(self.input, self.input), residual=residual)

    def out_shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return the output extent with one channel per weight row."""
        return (*out_extent(self, shapes[0]), int(self.weight.shape[0]))

    def run(self, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Accumulate every kernel position and requantize."""
        acc = accumulate(self, graph, inputs[0], level)
        residual = None
        if self.residual is not None:
            residual = (self.residual, inputs[1], graph.value(self.residual.input))
        zero_point = graph.value(self.output).zero_point
        clamp = (self.act_min, self.act_max)
        return requantize(acc, self.requant, level, zero_point, clamp, residual)

    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield broken rules about window, channels, weights, tables and residual."""
        if self.weight.ndim != 4:
            yield "weight has 4 dimensions", self.weight.shape
            return
        window_broken = list(check_window(self))
        yield from window_broken
        in_c = graph.value(self.input).shape[2]
        out_c = int(self.weight.shape[0])
        if self.groups < 1 or in_c % self.groups or out_c % self.groups:
            yield f"groups divides {in_c} input and {out_c} output channels", self.groups
            return
        if self.weight.shape[3] != in_c // self.groups:
            yield f"weight has {in_c // self.groups} input channels per group", self.weight.shape[3]
            return
        yield from _check_channel_levels(self)
        yield from check_weighted(self, graph)
        if not window_broken:
            yield from check_cmsis_nn(self, graph)
        yield from _check_residual(self, graph)

    def macs(self, graph: Graph, level: int) -> int:
        """Return kept weights times output positions."""
        height, width, _ = graph.value(self.output).shape
        return kept_macs(self, height * width, level)


def accumulate(op: Conv2D, graph: Graph, images: Int8Array, level: int) -> NDArray[Any]:
    """Return exact accumulators (n, out_h, out_w, out_c) of (n, h, w, c) images."""
    weight = level_weight(op, level)
    dtype = exact_dtype(weight)
    zero_point = graph.value(op.input).zero_point
    out_h, out_w, out_c = graph.value(op.output).shape
    padded = pad(images, op, zero_point).astype(dtype)
    padded -= zero_point
    scaled = weight.astype(dtype)
    n, groups, per_group = images.shape[0], op.groups, weight.shape[3]
    acc = np.zeros((n, out_h, out_w, out_c), dtype)
    for ky, kx, tap in taps(padded, op, out_h, out_w):
        kernel = scaled[:, ky, kx, :]
        if groups == 1:
            acc += (tap.reshape(-1, per_group) @ kernel.T).reshape(acc.shape)
        elif per_group == 1:
            by_group = kernel.reshape(groups, -1)
            acc += (tap[..., None] * by_group).reshape(acc.shape)
        else:
            split = tap.reshape(-1, groups, per_group).transpose(1, 0, 2)
            product = split @ kernel.reshape(groups, -1, per_group).transpose(0, 2, 1)
            acc += product.transpose(1, 0, 2).reshape(acc.shape)
    return acc


def _check_channel_levels(op: Conv2D) -> Iterator[Broken]:
    if op.groups == 1 or op.group_level is None:
        return
    if not op.groups == op.weight.shape[0] * op.weight.shape[3] == op.weight.shape[0]:
        got = f"{op.groups} groups, {op.weight.shape[0]} output channels"
        yield "group_level only where groups is 1 or on depthwise layers", got
    elif op.residual is not None:
        yield "no residual where channels have levels", op.residual.input


def _check_residual(op: Conv2D, graph: Graph) -> Iterator[Broken]:
    if op.residual is None:
        return
    shape, expected = graph.value(op.residual.input).shape, graph.value(op.output).shape
    if shape != expected:
        yield f"residual has the output's shape {expected}", shape
    multiplier = op.residual.multiplier
    levels = (len(graph.levels),)
    if multiplier.dtype != np.int32 or multiplier.shape != levels:
        got = (multiplier.dtype.name, multiplier.shape)
        yield f"residual multiplier is int32 of shape {levels}", got
    elif int(np.abs(multiplier.astype(np.int64)).max()) >= MAX_RESIDUAL_MULTIPLIER:
        yield "residual multiplier is below 2**22", int(multiplier.max())
