"""The integer graph: what training ends in and what code generation starts from.

Everything here is immutable data. Axes are always height, width, channel. The arithmetic each
operator stands for is defined in ``docs/integer-contract.md`` and implemented once in
``codegen/graph/reference.py`` (Python) and once in ``firmware/core/nn_arith.h`` (C).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from codegen.errors import UserError
from codegen.graph.sources.quantizer import Source

SCHEMA_VERSION = 7
"""Version of the ``.nestnet`` schema; a file with a larger one is refused, one with a smaller one
is brought up to it by :mod:`codegen.graph.migrate`."""

NEVER = 255
"""Entry of a ``group_level`` map for a group that no level keeps."""

Int8Array = NDArray[np.int8]
Int16Array = NDArray[np.int16]
Int32Array = NDArray[np.int32]
Uint8Array = NDArray[np.uint8]
Uint16Array = NDArray[np.uint16]

Allowed = Literal["all", "lz4", "raw"]
"""What ``--codecs`` may say; :data:`codegen.formats.codecs.WORDS`."""

Shape = tuple[int, int, int]
"""Height, width, channels."""

Meaning = Literal["plain", "pixels", "samples", "class_scores", "boxes", "map"]
"""What the numbers of an input or output are: "pixels" (of an image, minus 128), "samples" (of a
signal), "class_scores" (one channel per class, the largest wins), "boxes", a "map" (something at
each position); "plain" says nothing."""

INT32_MAX = 2**31 - 1
"""Largest accumulator."""
MAX_LEVELS = 16
MAX_EXTENT = 65535
"""Of edge tensors, kernels and strides, which the firmware is told in 16 bits."""
MAX_EDGES = 255
"""Inputs of a graph, and outputs, which the firmware counts in 8 bits."""
NAME_CHARACTERS = 40
"""Longest part of a name in C: compilers need to tell apart 63 characters only."""


def broadcasts(part: Shape, whole: Shape) -> bool:
    """Return whether ``part`` has the extents of ``whole``, or 1 in place of any of them."""
    return all(mine in (1, extent) for mine, extent in zip(part, whole, strict=True))


def input_span(zero_point: int) -> int:
    """Return the largest ``|q - zero_point|`` of an int8 q: 128 for zero point 0, 255 for -128."""
    return max(127 - zero_point, zero_point + 128)


@dataclass(frozen=True)
class Value:
    """An int8 activation tensor: ``real = scale[level] * (q - zero_point)``."""

    name: str
    shape: Shape
    scale: tuple[float, ...]
    """One scale per level; the graph's inputs and outputs have equal scales at all levels."""
    zero_point: int
    """Shared by all levels, -128..127; padding holds this value."""
    meaning: Meaning = "plain"
    """Of the graph's inputs and outputs; every other value is plain."""
    source: Source | None = None
    """Of inputs that are samples: what they are made of, and how; None where that is not known, and
    for pixels, which lose 128."""

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


Broken = tuple[str, object]
"""A broken rule: its text and the offending value."""
Finding = tuple[str, Broken]
"""Where a rule is broken, a node or a layer; and the rule."""


@dataclass(frozen=True, eq=False)
class Op(ABC):
    """One operator of a graph: its data and everything it means.

    A new operator is a frozen dataclass in a file of its own in ``codegen/graph/ops/``, which is
    found there, stored, verified and run without being listed anywhere. What it is compiled to is
    the business of ``codegen/kernels/``.
    """

    name: str
    is_view: ClassVar[bool] = False
    """Whether the output is the input's bytes, so that nothing has to be computed."""
    keeps_grid: ClassVar[bool] = False
    """Whether the output has the scale and zero point of every input."""
    if TYPE_CHECKING:  # fields of every operator, in the order that suits it

        @property
        def inputs(self) -> tuple[str, ...]:
            """Names of the values it reads."""

        @property
        def output(self) -> str:
            """Name of the value it writes."""

    @abstractmethod
    def reading(self, names: Mapping[str, str]) -> Self:
        """Return this operator reading ``names[x]`` wherever it read x."""

    @abstractmethod
    def out_shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        """Return the output shape for the inputs' shapes, or None if the operator leaves it open.

        :meth:`check` then judges the declared shape (a reshape).
        """

    @abstractmethod
    def run(self, graph: Graph, inputs: tuple[Int8Array, ...], level: int) -> Int8Array:
        """Compute the output (n, h, w, c) from the inputs (n, h, w, c): the reference."""

    @abstractmethod
    def check(self, graph: Graph) -> Iterator[Broken]:
        """Yield every rule of docs/integer-contract.md that the operator breaks."""

    def macs(self, graph: Graph, level: int) -> int:
        """Return the multiply-accumulates on weights kept at ``level``; 0 without weights."""
        return 0


@dataclass(frozen=True, eq=False)
class OneInput(Op):
    """An operator that reads one value."""

    input: str
    output: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the value it reads."""
        return (self.input,)

    def reading(self, names: Mapping[str, str]) -> Self:
        """Return this operator reading ``names[x]`` where it read x."""
        return replace(self, input=names.get(self.input, self.input))


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
    flash_budget_bytes: int | None = None
    """What the weights and tables of all levels were pruned to fit; None: to no budget."""
    codecs: str | None = None
    """``--codecs`` that the budget was reckoned with; None without a budget."""


@dataclass(frozen=True)
class Setting:
    """One or more numbers that a task needs, by their name."""

    name: str
    """A C identifier in lower case."""
    values: tuple[float, ...]


@dataclass(frozen=True)
class TaskRecord:
    """What a network was trained for, and the numbers that make answers of its outputs."""

    name: str
    """A file of codegen/tasks/; a C identifier in lower case."""
    settings: tuple[Setting, ...] = ()

    def numbers(self, name: str) -> tuple[float, ...]:
        """Return the numbers called ``name``; none where there are none."""
        return next((s.values for s in self.settings if s.name == name), ())


@dataclass(frozen=True, eq=False)
class Graph:
    """An integer network, operators in execution order."""

    name: str
    """A C identifier in lower case."""
    inputs: tuple[str, ...]
    """Names of the values it is given, at least one; their order is that of the firmware."""
    outputs: tuple[str, ...]
    """Names of the values it computes for its user, at least one. Operators may read them too."""
    values: tuple[Value, ...]
    ops: tuple[Op, ...]
    levels: tuple[Level, ...]
    provenance: Provenance
    task: TaskRecord | None = None
    """None: it was trained for a task that nobody named."""

    def value(self, name: str) -> Value:
        """Return the value called ``name``; KeyError if there is none."""
        for value in self.values:
            if value.name == name:
                return value
        raise KeyError(name)

    @property
    def is_one_to_one(self) -> bool:
        """Return whether there is one input and one output."""
        return len(self.inputs) == len(self.outputs) == 1

    @property
    def only_input(self) -> Value:
        """Return the input of a network that has one; UserError if it has several."""
        return self._only("input", self.inputs)

    @property
    def only_output(self) -> Value:
        """Return the output of a network that has one; UserError if it has several."""
        return self._only("output", self.outputs)

    def _only(self, edge: str, names: tuple[str, ...]) -> Value:
        if len(names) != 1:
            raise UserError(
                f"network {self.name}",
                f"it has several {edge}s, and this takes one",
                got=", ".join(names),
                expected=f"one {edge}",
                action=f"Choose a network of one {edge}",
            )
        return self.value(names[0])

    def shapes(self, names: Iterable[str]) -> tuple[Shape, ...]:
        """Return the shapes of the values called ``names``; KeyError if there is no such value."""
        return tuple(self.value(name).shape for name in names)
