"""The integer graph: what training ends in and what code generation starts from.

Everything here is immutable data. Axes are always height, width, channel. The arithmetic each
operator stands for is defined in ``docs/integer-contract.md`` and implemented once in
``codegen/graph/reference.py`` (Python) and once in ``firmware/nn_arith.h`` (C).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

SCHEMA_VERSION = 2
"""Version of the ``.nestnet`` schema; a file with a larger one is refused."""

NEVER = 255
"""Entry of a ``group_level`` map for a group that no level keeps."""

Int8Array = NDArray[np.int8]
Int16Array = NDArray[np.int16]
Int32Array = NDArray[np.int32]
Uint8Array = NDArray[np.uint8]
Uint16Array = NDArray[np.uint16]

Shape = tuple[int, int, int]
"""Height, width, channels."""


def input_span(zero_point: int) -> int:
    """Return the largest ``|q - zero_point|`` of an int8 q: 128 for zero point 0, 255 for -128."""
    return max(127 - zero_point, zero_point + 128)


@dataclass(frozen=True)
class Value:
    """An int8 activation tensor: ``real = scale[level] * (q - zero_point)``."""

    name: str
    shape: Shape
    scale: tuple[float, ...]
    """One scale per level; the graph's input and output have equal scales at all levels."""
    zero_point: int
    """Shared by all levels, -128..127; padding holds this value."""

    @property
    def span(self) -> int:
        """Return the largest ``|q - zero_point|`` there is, which bounds accumulators."""
        return input_span(self.zero_point)


@dataclass(frozen=True, eq=False)
class Requant:
    """Turn int32 accumulators into int8 outputs (docs/integer-contract.md, "Requantization").

    ``M = multiplier[level, c] << multiplier_shift`` and
    ``B = bias[c] + (bias_delta[level, c] << bias_delta_shift)`` give
    ``y = clamp((B + ((((acc << pre_shift) * M) + 2**31) >> 32)) >> fraction_bits)``.
    """

    multiplier: Int16Array
    """Shape (levels, out_channels)."""
    multiplier_shift: int
    """0..16."""
    bias: Int16Array
    """Shape (out_channels,): the densest level's, in 2**-fraction_bits output steps; it contains
    the output zero point and the rounding half."""
    bias_delta: Int8Array
    """Shape (levels, out_channels): difference from the densest level; its last row is zero."""
    bias_delta_shift: int
    """0..8."""
    fraction_bits: int
    """0..8."""
    pre_shift: int
    """0..8; non-zero only where the real multiplier is 0.5 or more."""

    def multiplier_q32(self, level: int) -> Int32Array:
        """Return M for ``level``, shape (out_channels,)."""
        scaled: Int32Array = self.multiplier[level].astype(np.int32) << np.int32(
            self.multiplier_shift
        )
        return scaled

    def bias_q(self, level: int) -> Int32Array:
        """Return B for ``level``, shape (out_channels,), in 2**-fraction_bits output steps."""
        delta = self.bias_delta[level].astype(np.int32) << np.int32(self.bias_delta_shift)
        total: Int32Array = self.bias.astype(np.int32) + delta
        return total


@dataclass(frozen=True, eq=False)
class TfliteRequant:
    """Requantize by the TFLite rule, for layers handed to CMSIS-NN.

    Source: TensorFlow Lite 8-bit quantization specification, per-axis convolution; the arithmetic
    is SaturatingRoundingDoublingHighMul followed by RoundingDivideByPOT.
    """

    multiplier: Int32Array
    """Shape (levels, out_channels), Q0.31."""
    shift: Int8Array
    """Shape (levels, out_channels), positive is left."""
    bias: Int32Array
    """Shape (levels, out_channels), in accumulator steps."""


@dataclass(frozen=True, eq=False)
class Residual:
    """A second input added inside a convolution's epilogue, before the shift and clamp.

    ``t += ((r - zero_point_r) * multiplier[level] + 2**15) >> 16`` with t in
    2**-fraction_bits output steps.
    """

    input: str
    multiplier: Int32Array
    """Shape (levels,); absolute value below 2**22."""


@dataclass(frozen=True, eq=False)
class Conv2D:
    """2-D convolution, also grouped and depthwise; zero point of the input as padding."""

    name: str
    input: str
    output: str
    weight: Int8Array
    """Shape (out_c, kernel_h, kernel_w, in_c // groups)."""
    group_size: int
    """G of the nested groups: 1, 2 or 4 consecutive input channels; 1 when group_level is None."""
    group_level: Uint8Array | None
    """First level that contains the group, NEVER for none; None for a layer that is dense at every
    level. Where groups == 1, shape (out_c, kernel_h, kernel_w, ceil(in_c / group_size)). Of a
    depthwise layer, one whose groups are its input and its output channels, shape (out_c, 1, 1, 1):
    first level that contains the channel's whole filter; group_size is 1, the rule the nestnet one,
    and no residual is fused. None where groups is anything else."""
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    """top, left, bottom, right."""
    groups: int
    requant: Requant | TfliteRequant
    act_min: int
    act_max: int
    residual: Residual | None = None


@dataclass(frozen=True, eq=False)
class Linear:
    """Fully connected layer on the input flattened in h, w, c order; output shape (1, 1, out_c)."""

    name: str
    input: str
    output: str
    weight: Int8Array
    """Shape (out_c, in_c)."""
    group_size: int
    group_level: Uint8Array | None
    """Shape (out_c, ceil(in_c / group_size)) or None, as for :class:`Conv2D`."""
    requant: Requant | TfliteRequant
    act_min: int
    act_max: int


@dataclass(frozen=True, eq=False)
class Add:
    """Elementwise sum: ``y = clamp((a*m[0] + b*m[1] + offset) >> shift)``, int32 throughout."""

    name: str
    inputs: tuple[str, str]
    output: str
    multiplier: Int32Array
    """Shape (levels, 2); absolute value below 2**22."""
    offset: Int32Array
    """Shape (levels,); holds both zero points, the output zero point and the rounding half."""
    shift: int
    act_min: int
    act_max: int


@dataclass(frozen=True)
class MaxPool:
    """Maximum over a window; padding never wins. Scale and zero point pass through."""

    name: str
    input: str
    output: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]


@dataclass(frozen=True)
class AvgPool:
    """Mean over a window of n = kernel_h * kernel_w, padding counted as real zero.

    ``y = clamp(zp + ((sum(x - zp) * round(2**22 / n) + 2**21) >> 22))``. Scale and zero point pass
    through. n is at most 4096.
    """

    name: str
    input: str
    output: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Softmax:
    """Softmax over channels at each position; output scale 1/256, zero point -128.

    ``e[i] = table[max(x) - x[i]]``; ``y[i] = clamp((e[i]*256 + sum/2) // sum - 128)``, uint32.
    """

    name: str
    input: str
    output: str
    table: Uint16Array
    """Shape (256,): round(2**15 * exp(-scale * i)); entry 0 is 2**15. At most 1024 channels."""


@dataclass(frozen=True)
class Reshape:
    """Relabel the shape of a contiguous h, w, c buffer; no data moves."""

    name: str
    input: str
    output: str


Op = Conv2D | Linear | Add | MaxPool | AvgPool | Softmax | Reshape
WeightedOp = Conv2D | Linear


@dataclass(frozen=True)
class Level:
    """One nested sub-network; level 0 is the sparsest."""

    name: str
    sparsity: float
    """Achieved, over all prunable weights, 0..1."""
    accuracy_float: float | None
    """Top-1 on the test set before quantization, 0..1; None for untrained weights."""
    accuracy_quantized: float | None
    """Top-1 on the test set of the fake-quantized network, 0..1."""


@dataclass(frozen=True)
class Provenance:
    """Where a graph comes from; printed into every generated file."""

    nestnet_version: str
    parent_sha256: str
    """Hash of the checkpoint the graph was exported from."""
    model: str
    dataset: str
    class_names: tuple[str, ...]
    flash_budget_bytes: int | None = field(default=None, metadata={"since_schema_version": 2})
    """What the weights and tables of all levels were pruned to fit; None: to no budget."""
    codecs: str | None = field(default=None, metadata={"since_schema_version": 2})
    """``--codecs`` that the budget was reckoned with; None without a budget."""


@dataclass(frozen=True, eq=False)
class Graph:
    """An integer network with one input and one output, operators in execution order."""

    name: str
    """A C identifier in lower case."""
    input: str
    output: str
    values: tuple[Value, ...]
    ops: tuple[Op, ...]
    levels: tuple[Level, ...]
    provenance: Provenance

    def value(self, name: str) -> Value:
        """Return the value called ``name``; KeyError if there is none."""
        for value in self.values:
            if value.name == name:
                return value
        raise KeyError(name)


def op_inputs(op: Op) -> tuple[str, ...]:
    """Return the names of the values ``op`` reads."""
    if isinstance(op, Add):
        return op.inputs
    if isinstance(op, Conv2D) and op.residual is not None:
        return (op.input, op.residual.input)
    return (op.input,)
