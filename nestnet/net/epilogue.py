"""What a weighted stage does to its integer sums.

The same tables serve twice: export writes them, and the fake-quantized network computes with what
they stand for, so that accuracy is measured and trained with their rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codegen.graph.ir import Requant, input_span
from nestnet.net.nested import LevelNorm, NestedWeight
from nestnet.net.quantizer import HALF_UP, weight_scale
from nestnet.net.requant import FloatArray, make_requant

UNIT_WEIGHT = 127
"""Stored weight of a batch norm that stands alone: a depthwise 1x1 convolution by 1."""


@dataclass(frozen=True)
class Grid:
    """The int8 grid of one tensor: ``real = scale[level] * (q - zero_point)``."""

    scale: tuple[float, ...]
    zero_point: int


@dataclass(frozen=True, eq=False)
class Epilogue:
    """Tables of one stage and the grids they convert between."""

    requant: Requant
    residual_multiplier: NDArray[np.int32] | None
    """Shape (levels,); None without a residual."""
    weight_scale: FloatArray
    """Shape (out_c,)."""
    input: Grid
    output: Grid
    residual: Grid | None

    def gain(self, level: int) -> FloatArray:
        """Return the real factor, shape (out_c,), that the table applies to real-valued sums."""
        table = self.requant
        exponent = table.pre_shift - 32 - table.fraction_bits
        steps = table.multiplier_q32(level).astype(np.float64) * 2.0**exponent
        return steps * self.output.scale[level] / (self.input.scale[level] * self.weight_scale)

    def offset(self, level: int) -> FloatArray:
        """Return the real summand, shape (out_c,), that together with rounding half up (as
        :mod:`nestnet.net.quantizer` does) gives the table's rounding towards minus infinity."""
        table = self.requant
        delta = table.bias_delta[level].astype(np.int64) << table.bias_delta_shift
        bias = table.bias.astype(np.int64) + delta
        # 0.5: the product is rounded to nearest before the bias is added.
        steps = (bias + 0.5) / 2.0**table.fraction_bits - self.output.zero_point - HALF_UP
        result: FloatArray = steps * self.output.scale[level]
        return result

    def add_residual(self, y: Tensor, residual: Tensor, level: int) -> Tensor:
        """Return ``y`` plus the residual as the table scales and rounds it; its gradient is 1."""
        assert self.residual_multiplier is not None and self.residual is not None
        unit = self.output.scale[level] / 2.0**self.requant.fraction_bits
        factor = float(self.residual_multiplier[level]) / 65536.0 / self.residual.scale[level]
        rounded = (residual.detach() * factor + 0.5).floor_().mul_(unit)
        return y + (residual + (rounded - residual).detach())


@torch.no_grad()
def make_epilogue(
    where: str,
    layer: NestedWeight | None,
    norm: LevelNorm | None,
    x: Grid,
    y: Grid,
    residual: Grid | None,
) -> Epilogue:
    """Return the tables of a stage.

    Args:
        where: the stage, for errors.
        layer: its weights; None for a batch norm that stands alone.
        norm: its batch norm, if it has one.
        x: grid of the input.
        y: grid of the output.
        residual: grid of the fused residual, if there is one.

    Raises:
        UserError: accumulators that can overflow, or a residual whose scale is out of range.
    """
    gain, offset = _gain_and_offset(layer, norm, len(y.scale))
    weight_scales, sums = _weight_sums(layer, gain.shape)
    steps = np.array(y.scale)[:, None]
    gain = gain * np.array(x.scale)[:, None] * weight_scales[None] / steps
    gain[sums == 0] = 0.0  # nothing to scale: keeps dead channels out of the tables' range
    ratio = None if residual is None else np.array(residual.scale) / np.array(y.scale)
    largest = int(sums.max()) * input_span(x.zero_point)
    requant, multiplier = make_requant(where, gain, offset / steps + y.zero_point, largest, ratio)
    return Epilogue(requant, multiplier, weight_scales, x, y, residual)


def integer_weight(layer: NestedWeight) -> Tensor:
    """Return the weights in int8 steps, shaped like the weight; 0 where no level keeps them."""
    return integer_steps(layer.weight, layer.kept(), layer.input_span)


def integer_steps(weight: Tensor, kept: Tensor | None, span: int) -> Tensor:
    """Return :func:`integer_weight` of a layer with ``weight`` of which ``kept`` (0/1) is used, and
    inputs up to ``span`` steps from their zero point."""
    scale = weight_scale(weight, kept, span)
    per_channel = scale.reshape(-1, *([1] * (weight.dim() - 1)))
    steps = (weight.detach() / per_channel).round().clamp(-127, 127)
    return steps if kept is None else steps * kept


def _weight_sums(
    layer: NestedWeight | None, shape: tuple[int, ...]
) -> tuple[FloatArray, FloatArray]:
    """Return the weights' scales (O,) and, for each of ``shape`` (levels, O), the sum of their
    integer magnitudes."""
    if layer is None:
        return np.full(shape[1], 1.0 / UNIT_WEIGHT), np.full(shape, float(UNIT_WEIGHT))
    size = integer_weight(layer).abs().double()
    rows = []
    for level in range(shape[0]):
        mask = layer.mask(level)
        rows.append((size if mask is None else size * mask).flatten(1).sum(dim=1))
    scales = weight_scale(layer.weight, layer.kept(), layer.input_span)
    return scales.cpu().numpy().astype(np.float64), torch.stack(rows).cpu().numpy()


def _gain_and_offset(
    layer: NestedWeight | None, norm: LevelNorm | None, n_levels: int
) -> tuple[FloatArray, FloatArray]:
    """Return what a stage does to its real sums, ``gain * sum + offset``, both (levels, O)."""
    parts = [real_affine(layer, norm, level) for level in range(n_levels)]
    gains = np.stack([gain.cpu().double().numpy() for gain, _ in parts])
    offsets = np.stack([offset.cpu().double().numpy() for _, offset in parts])
    return gains, offsets


def real_affine(
    layer: NestedWeight | None, norm: LevelNorm | None, level: int
) -> tuple[Tensor, Tensor]:
    """Return gain and offset (O,) that bias and batch norm amount to, differentiable."""
    bias = None if layer is None else layer.bias
    if norm is not None:
        gain, offset = norm.affine(level)
        return gain, offset if bias is None else offset + bias * gain
    assert layer is not None
    zeros = torch.zeros(len(layer.weight), device=layer.weight.device)
    return torch.ones_like(zeros), zeros if bias is None else bias


def table_affine(
    epilogue: Epilogue, layer: NestedWeight | None, norm: LevelNorm | None, level: int
) -> tuple[Tensor, Tensor]:
    """Return :func:`real_affine` with the tables' values; gradients pass to the real ones."""
    result = []
    tables = (epilogue.gain(level), epilogue.offset(level))
    for real, table in zip(real_affine(layer, norm, level), tables, strict=True):
        values = torch.from_numpy(table).to(real)
        result.append(real + (values - real).detach())
    return result[0], result[1]
