"""The typed op list a traced network consists of, before and after fusion.

A :class:`Network` is what :func:`nestnet.frontend.capture.trace_network` makes of a user's module
and what :class:`nestnet.net.network.NestedNet` executes. Tensors carry their PyTorch shape without
the batch (``torch_shape``) and the height, width, channel shape they have in the integer graph
(``shape``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

Shape = tuple[int, int, int]
"""Height, width, channels."""


@dataclass(frozen=True)
class Tensor:
    """One activation tensor."""

    name: str
    torch_shape: tuple[int, ...]
    """Without the batch: (c, h, w), (c, n) or (c,)."""
    flat_from: Shape | None = None
    """For a vector that holds a (c, h, w) map flattened in PyTorch's order: the map's h, w, c."""

    @property
    def shape(self) -> Shape:
        """Return height, width, channels as the integer graph sees them."""
        if len(self.torch_shape) == 1:
            return (1, 1, self.torch_shape[0])
        if len(self.torch_shape) == 2:
            return (1, self.torch_shape[1], self.torch_shape[0])
        c, h, w = self.torch_shape
        return (h, w, c)


@dataclass(frozen=True)
class Clip:
    """An activation function that limits its input to lo..hi; ReLU is (0, inf)."""

    lo: float
    hi: float

    def then(self, after: Clip) -> Clip:
        """Return the one activation that equals ``self`` followed by ``after``."""
        return Clip(min(max(self.lo, after.lo), after.hi), min(max(self.hi, after.lo), after.hi))


RELU = Clip(0.0, math.inf)


@dataclass(frozen=True)
class NormParams:
    """Names and constants of one batch norm; tensor names are the user's qualified names."""

    name: str
    weight: str | None
    bias: str | None
    running_mean: str | None
    running_var: str | None
    eps: float
    momentum: float
    fixed: bool = False
    """Whether its statistics are constants, in training too."""


@dataclass(frozen=True)
class Conv:
    """2-D convolution with everything that is fused into its epilogue.

    ``out = act(norm(conv(input) + bias) + residual)``.
    """

    name: str
    input: str
    output: str
    weight: str | None
    """The user's parameter name; None for the constant 1 of a batch norm that stands alone."""
    bias: str | None
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    """top, left, bottom, right."""
    groups: int
    norm: NormParams | None = None
    residual: str | None = None
    act: Clip | None = None


@dataclass(frozen=True)
class Linear:
    """Fully connected layer on a vector: ``out = act(norm(W input + bias))``."""

    name: str
    input: str
    output: str
    weight: str
    bias: str | None
    norm: NormParams | None = None
    act: Clip | None = None


@dataclass(frozen=True)
class Norm:
    """Batch norm before fusion; :func:`nestnet.frontend.fuse.fuse` leaves none."""

    name: str
    input: str
    output: str
    params: NormParams


@dataclass(frozen=True)
class Add:
    """Elementwise sum of two tensors of one shape."""

    name: str
    inputs: tuple[str, str]
    output: str
    act: Clip | None = None


@dataclass(frozen=True)
class Activation:
    """An activation that could not be fused into its producer."""

    name: str
    input: str
    output: str
    act: Clip


@dataclass(frozen=True)
class MaxPool:
    """Maximum over a window; padding never wins."""

    name: str
    input: str
    output: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]


@dataclass(frozen=True)
class AvgPool:
    """Mean over a window; padding counts as zero."""

    name: str
    input: str
    output: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]


@dataclass(frozen=True)
class Reshape:
    """Another shape for the same elements."""

    name: str
    input: str
    output: str


@dataclass(frozen=True)
class Dropout:
    """Dropout of single elements or (``channels``) of whole channels; training only."""

    name: str
    input: str
    output: str
    p: float
    channels: bool


@dataclass(frozen=True)
class Softmax:
    """Softmax (or its logarithm) over the channels, the last stage of a network."""

    name: str
    input: str
    output: str
    log: bool


Stage = Conv | Linear | Norm | Add | Activation | MaxPool | AvgPool | Reshape | Dropout | Softmax

ELEMENTWISE = Norm | Add | Activation | Dropout | Softmax
"""Stages whose output has its input's shape with every element in its place."""


@dataclass(frozen=True)
class Network:
    """A traced network with one input and one output, stages in execution order."""

    input: str
    output: str
    """Output of the last stage; the input of the softmax is :attr:`logits`."""
    tensors: tuple[Tensor, ...]
    stages: tuple[Stage, ...]

    def tensor(self, name: str) -> Tensor:
        """Return the tensor called ``name``; KeyError if there is none."""
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        raise KeyError(name)

    @property
    def softmax(self) -> Softmax | None:
        """Return the softmax at the end, if there is one."""
        last = self.stages[-1] if self.stages else None
        return last if isinstance(last, Softmax) else None

    @property
    def logits(self) -> str:
        """Return the name of the tensor a training loss is computed from."""
        return self.output if self.softmax is None else self.softmax.input


def stage_inputs(stage: Stage) -> tuple[str, ...]:
    """Return the names of the tensors ``stage`` reads."""
    if isinstance(stage, Add):
        return stage.inputs
    if isinstance(stage, Conv) and stage.residual is not None:
        return (stage.input, stage.residual)
    return (stage.input,)
