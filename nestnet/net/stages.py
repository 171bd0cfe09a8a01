"""What a nested network consists of: stages, each one operator at one place.

A new operator is one file in ``nestnet/net/ops/`` with

- one frozen dataclass derived from :class:`Stage`, which says all that is asked of it,
- ``ATEN``, the operators of an exported graph it is read from (:class:`nestnet.net.walk.Aten`), and
- ``SPELLED``, what messages call these in the list of all that is supported.

It is found there and listed nowhere; what it leaves unsaid is an error when the package is
imported. Everything else, from the reader of graphs to the flash budget, asks the stage.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import torch

from codegen.graph.ir import Op
from nestnet.net.nested import Constant, LevelNorm, NestedWeight
from nestnet.net.quantizer import Observer
from nestnet.net.tensors import Clip, NormParams, Tensor

if TYPE_CHECKING:
    from nestnet.net.fuse import Fused
    from nestnet.net.graph_builder import GraphBuilder
    from nestnet.net.network import NestedNet
    from nestnet.net.ops.conv2d import Conv2D


class GridRule(Enum):
    """Which int8 grid a stage's output lies on, and who puts it there."""

    OWN = "own"
    """Its own: the range of the output is observed, and the output rounded to it."""
    INPUT = "input"
    """The one of its first input, whose elements the stage moves, chooses or drops."""
    ROUNDED = "rounded"
    """The one of its first input, to which what the stage computes is rounded again."""
    JOINT = "joint"
    """One grid for all inputs and the output, so that the stage moves bytes: its inputs' ranges
    become one (a concatenation)."""
    FIXED = "fixed"
    """What the integer contract says; nothing is observed or rounded in training."""


_WITHIN_INPUTS = (GridRule.INPUT, GridRule.JOINT, GridRule.ROUNDED)
"""Of stages whose output lies between the least and the largest number of their inputs."""

Sides = tuple[int, int, int, int]
"""top, left, bottom, right."""


@dataclass(frozen=True)
class Around:
    """What lies around a map before a stage reads it."""

    source: str
    """The map."""
    sides: Sides
    is_zero: bool
    is_least: bool
    """Whether nothing in the map is smaller."""


def joined(inner: Sides, outer: Sides) -> Sides:
    """Return both paddings, one around the other, as one."""
    top, left, bottom, right = (one + other for one, other in zip(inner, outer, strict=True))
    return top, left, bottom, right


def inside(padding: Sides, window: Sequence[int]) -> bool:
    """Return whether a window (height, width) is always larger than what is padded on a side."""
    return all(side < window[axis % 2] for axis, side in enumerate(padding))


@dataclass(frozen=True)
class Bound:
    """A function that makes of whatever it is given numbers between two others."""

    function: str
    """As PyTorch calls it, where it has a name: 'sigmoid'."""
    low: float
    high: float


@dataclass(frozen=True)
class Summands:
    """What a stage adds up: a convolution of its own, perhaps, and tensors as they are."""

    own: Conv2D | None
    """As if nothing were added to it and nothing done behind it."""
    tensors: tuple[str, ...]
    act: Clip
    """Behind the sum."""


@dataclass(frozen=True)
class Parts:
    """The modules that hold what a stage learns."""

    layer: NestedWeight | None = None
    norm: LevelNorm | None = None
    constant: Constant | None = None


@dataclass(frozen=True)
class Stage(ABC):
    """One operator at one place of a network, in execution order with others."""

    name: str
    """Unique; the user's name of the layer where there is one."""
    if TYPE_CHECKING:  # fields of every stage, in the order that suits it

        @property
        def inputs(self) -> tuple[str, ...]:
            """Names of the tensors it reads."""

        @property
        def output(self) -> str:
            """Name of the tensor it makes: :attr:`name`, before anything is fused into it."""

    # What every operator states.

    makes: ClassVar[tuple[type[Op], ...]]
    """Operators of the integer graph that :meth:`export` may make of it; none if it leaves none."""
    grid: ClassVar[GridRule]
    elementwise: ClassVar[bool]
    """Whether every element of the output is at the place of the input's it is computed from: then
    a flattened map (:attr:`Tensor.flat_from`) stays one."""

    # What few operators state.

    activations: ClassVar[tuple[str, ...]] = ()
    """Modules of torch.nn that this operator is, if it is an activation function: what to use
    instead of one that is not supported."""
    kept_dense: ClassVar[Literal["first", "last"] | None] = None
    """Which layer of this kind is not pruned unless asked for."""
    only_last: ClassVar[bool] = False
    """Whether it stands at an output only, behind the logits: losses, accuracies and ranges are of
    what it reads."""
    reads_one_scale: ClassVar[bool] = False
    """Whether its input needs one scale at all levels."""
    is_monotone: ClassVar[bool] = False
    """Whether an activation behind it may as well be computed in front of it."""

    @property
    def one_scale(self) -> bool:
        """Return whether its output needs one scale at all levels."""
        return False

    @property
    def fixed_range(self) -> float | None:
        """Return the largest value of its output where that is known beforehand: it is then not
        observed."""
        return None

    @property
    def bound(self) -> Bound | None:
        """Return the function that keeps its output between two numbers, whatever its input, if it
        ends in one: what it makes are no logits."""
        return None

    @property
    def tensors(self) -> tuple[str, ...]:
        """Return the names of all that it takes from the user's module."""
        return ()

    @property
    def variances(self) -> tuple[str, ...]:
        """Return those of :attr:`tensors` that cannot be negative."""
        return ()

    @property
    def residuals(self) -> tuple[str, ...]:
        """Return the inputs that are added behind the integer sums; their step bounds its own."""
        return ()

    @property
    def is_composed(self) -> bool:
        """Return whether it holds numbers that are computed from the user's, in single precision:
        one factor for two."""
        return False

    @property
    def prunable(self) -> bool:
        """Return whether the weights of its layer may be nested."""
        return False

    @property
    def notice(self) -> str:
        """Return what a user has to know who exports it; nothing if empty."""
        return ""

    def making(self, output: str) -> Self:
        """Return this stage with ``output`` as the name of what it makes."""
        return replace(self, output=output)  # type: ignore[call-arg]

    # Fusion: what becomes one stage is rounded once, in training and in the firmware.

    def fuse(self, done: Fused) -> None:
        """Become a part of the stages in ``done``, or one of them."""
        done.append(self)

    def with_norm(self, norm: NormParams, output: str) -> Stage | None:
        """Return this stage with a batch norm behind it, making ``output``; None if it cannot."""
        return None

    def with_residual(self, residual: str, output: str) -> Stage | None:
        """Return this stage with ``residual`` added, making ``output``; None if it cannot."""
        return None

    def with_clip(self, clip: Clip, output: str) -> Stage | None:
        """Return this stage with an activation behind it, making ``output``; None if it cannot."""
        return None

    def summands(self, network: Network) -> Summands | None:
        """Return what it adds up, if it is a convolution or a sum of tensors of one shape."""
        return None

    def around(self, non_negative: bool) -> Around | None:
        """Return what this stage puts around its input, if that is all it does; ``non_negative``:
        whether the input is."""
        return None

    def with_padding(self, around: Around) -> Stage | None:
        """Return this stage reading what is padded, with that padding as its own; None if it would
        compute something else."""
        return None

    def weight_count(self, network: Network) -> int:
        """Return the number of its weights: of two stages that could take an addition in, the one
        with more does."""
        return 0

    def positions(self, network: Network) -> int:
        """Return how often each of its weights is multiplied for an image."""
        h, w, _ = network.tensor(self.output).shape
        return h * w

    # Computation.

    def build(self, tensors: Mapping[str, torch.Tensor], source: Tensor) -> Parts:
        """Return its modules, holding copies of the user's ``tensors``; ``source`` is its input."""
        return Parts()

    @abstractmethod
    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Compute the output (n, c, h, w), (n, c, w) or (n, c) of its inputs.

        In quantized mode the inputs lie on their int8 grids; the network then puts the output on
        the grid that :attr:`grid` says.
        """

    @abstractmethod
    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return whether its output cannot be negative, given which of its inputs cannot."""

    # Deployment.

    @abstractmethod
    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add what computes it to the integer graph, and name the value of its output.

        Raises:
            UserError: numbers that the integer arithmetic cannot hold.
        """

    @abstractmethod
    def table_bytes(self, network: Network, levels: int) -> int:
        """Return the bytes it takes in the weight image, all but the weights of its layer."""


@dataclass(frozen=True)
class OneInput(Stage):
    """A stage that reads one tensor."""

    input: str
    output: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the tensor it reads."""
        return (self.input,)


@dataclass(frozen=True)
class Network:
    """A network with inputs and outputs, stages in execution order."""

    inputs: tuple[str, ...]
    """Tensors it is given, at least one, in the order of the module's arguments."""
    outputs: tuple[str, ...]
    """Tensors it makes, at least one, in the order in which the module returns them."""
    tensors: tuple[Tensor, ...]
    stages: tuple[Stage, ...]
    output_names: tuple[str, ...] = ()
    """What the module calls its outputs, one each; empty where it does not."""

    def tensor(self, name: str) -> Tensor:
        """Return the tensor called ``name``; KeyError if there is none."""
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        raise KeyError(name)

    @property
    def ends(self) -> tuple[Stage | None, ...]:
        """Return for each output the stage behind its logits, a softmax, if there is one."""
        makers = {stage.output: stage for stage in self.stages if stage.only_last}
        return tuple(makers.get(name) for name in self.outputs)

    @property
    def logits(self) -> tuple[str, ...]:
        """Return the names of the tensors a training loss is computed from, one an output."""
        pairs = zip(self.outputs, self.ends, strict=True)
        return tuple(name if end is None else end.inputs[0] for name, end in pairs)

    @property
    def bounds(self) -> tuple[tuple[Bound | None, ...], ...]:
        """Return for each output the functions that keep it between two numbers, None for a part of
        it that none does."""
        makers = {stage.output: stage for stage in self.stages}
        found = []
        for name in self.outputs:
            parts: list[Bound | None] = []
            names = [name]
            while names:
                maker = makers.get(names.pop())
                if maker is None or maker.bound is not None or maker.grid not in _WITHIN_INPUTS:
                    parts.append(None if maker is None else maker.bound)
                elif maker.grid is GridRule.JOINT:
                    names += maker.inputs
                else:
                    names.append(maker.inputs[0])
            found.append(tuple(parts))
        return tuple(found)


@dataclass(frozen=True, eq=False)
class Step:
    """One stage with the modules that execute it."""

    stage: Stage
    layer: NestedWeight | None = None
    norm: LevelNorm | None = None
    constant: Constant | None = None
    observer: Observer | None = None
    """Of a stage whose output has its own grid."""


@dataclass(frozen=True, eq=False)
class Run:
    """One execution of a stage."""

    net: NestedNet
    step: Step
    level: int

    def tensor(self, name: str) -> Tensor:
        """Return the tensor of the network called ``name``."""
        return self.net.network.tensor(name)
