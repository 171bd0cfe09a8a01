"""What stages work on, as data: tensors and views of them, limits of activations, batch norms."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import fx

from codegen.graph.ops.rearrange import Loop, canonical

Shape = tuple[int, int, int]
"""Height, width, channels."""
Shapes = tuple[Shape, ...]
"""Of several tensors, in their order."""
Given = tuple[int, ...]
"""What a user says of an input: height, width, channels, or samples, channels."""


def shapes_of(shape: Given | tuple[Given, ...]) -> tuple[Given, ...]:
    """Return the shapes of all inputs, given those or that of the only one."""
    several = [each for each in shape if isinstance(each, tuple)]
    return tuple(several) or (tuple(each for each in shape if isinstance(each, int)),)


@dataclass(frozen=True)
class Tensor:
    """One activation tensor.

    It carries its PyTorch shape without the batch (``torch_shape``) and the height, width, channel
    shape it has in the integer graph (``shape``).
    """

    name: str
    torch_shape: tuple[int, ...]
    """Without the batch: (c, h, w), (c, n) or (c,), or with the channels elsewhere."""
    flat_from: Shape | None = None
    """For a vector that holds a (c, h, w) map flattened in PyTorch's order: the map's h, w, c."""
    channel_axis: int = 0
    """Which of the dimensions without the batch are the channels: 0, or the last of tokens (n, c)
    and of maps (h, w, c)."""

    @property
    def shape(self) -> Shape:
        """Return height, width, channels as the integer graph sees them."""
        rest = list(self.torch_shape)
        channels = rest.pop(self.channel_axis)
        *outer, width = rest or [1]
        return (math.prod(outer), width, channels)

    def axis(self, dim: int) -> int | None:
        """Return which of h, w, c (0, 1, 2) a dimension without the batch is; None for a part of
        the height."""
        rest = [each for each in range(len(self.torch_shape)) if each != self.channel_axis]
        if dim == self.channel_axis:
            return 2
        return 1 if dim == rest[-1] else 0 if dim == rest[0] else None


def to_memory(x: torch.Tensor, tensor: Tensor) -> torch.Tensor:
    """Return the values ``x`` of ``tensor`` as (n, elements), in the order h, w, c that they have
    on a device: free where ``x`` is channels_last."""
    return x.movedim(1 + tensor.channel_axis, -1).flatten(1)


def from_memory(flat: torch.Tensor, tensor: Tensor) -> torch.Tensor:
    """Return (n, elements) in the order h, w, c as values of ``tensor``."""
    rest = list(tensor.torch_shape)
    channels = rest.pop(tensor.channel_axis)
    return flat.reshape(len(flat), *rest, channels).movedim(-1, 1 + tensor.channel_axis)


Dim = tuple[Loop, ...]
"""Loops of a dimension, outermost first; its size is the product of their extents."""


@dataclass(frozen=True)
class View:
    """What permute, reshape, slice, flip, expand and their like make of a tensor, until something
    computes on the result.

    It has dimensions as PyTorch counts them, without the batch. Each is a number of nested loops
    over the elements of the tensor in the order h, w, c: one loop for a dimension that is evenly
    spaced there, several for one that was merged of others, none for one of size 1. So views of
    views are views again, and only what is read at last is moved, once. No method moves anything;
    those that return None cannot express their result by loops over this tensor.
    """

    offset: int
    """Element that comes first."""
    dims: tuple[Dim, ...]

    @staticmethod
    def whole(tensor: Tensor) -> View:
        """Return all of ``tensor`` as PyTorch sees it."""
        h, w, c = tensor.flat_from or tensor.shape
        if tensor.flat_from is not None:
            return View(0, (canonical(((c, 1), (h * w, c))),))
        strides, step = [0] * len(tensor.torch_shape), c
        for axis in reversed(range(len(strides))):
            if axis == tensor.channel_axis:
                strides[axis] = 1
            else:
                strides[axis] = step
                step *= tensor.torch_shape[axis]
        loops = zip(tensor.torch_shape, strides, strict=True)
        return View(0, tuple(canonical((loop,)) for loop in loops))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return the size of every dimension."""
        return tuple(math.prod(extent for extent, _ in dim) for dim in self.dims)

    def loops(self, channel_axis: int) -> tuple[Loop, ...]:
        """Return the fewest loops over all elements, those of dimension ``channel_axis`` last."""
        rest = [dim for axis, dim in enumerate(self.dims) if axis != channel_axis]
        return canonical(loop for dim in (*rest, self.dims[channel_axis]) for loop in dim)

    def permuted(self, order: tuple[int, ...]) -> View:
        """Return the view with dimension ``order[i]`` as the i-th."""
        return replace(self, dims=tuple(self.dims[axis] for axis in order))

    def reshaped(self, sizes: tuple[int, ...]) -> View | None:
        """Return the same elements in the same order, as dimensions of ``sizes``."""
        rest = list(canonical(loop for dim in self.dims for loop in dim))
        dims: list[Dim] = []
        for size in reversed(sizes):
            dim: Dim = ()
            while size > 1:
                extent, stride = rest.pop()
                taken = min(extent, size)
                if extent % taken or size % taken:
                    return None
                if extent > taken:
                    rest.append((extent // taken, stride * taken))
                dim = ((taken, stride), *dim)
                size //= taken
            dims.insert(0, dim)
        return replace(self, dims=tuple(dims))

    def merged(self, counts: tuple[int, ...]) -> View:
        """Return so many neighbouring dimensions at a time as one."""
        rest = list(self.dims)
        dims = (canonical(loop for _ in range(n) for loop in rest.pop(0)) for n in counts)
        return replace(self, dims=tuple(dims))

    def sliced(self, axis: int, start: int, count: int, step: int = 1) -> View | None:
        """Return ``count`` entries of a dimension, ``step`` apart, which may be negative."""
        dim = self.dims[axis]
        if len(dim) > 1:
            inner = math.prod(extent for extent, _ in dim[1:])
            if count > 1 and (step != 1 or start % inner or count % inner):
                return None
            if count == 1:
                return self._entry(axis, start)
            start, count = start // inner, count // inner
        (_, stride), *rest = dim or ((1, 0),)
        part = canonical(((count, stride * step), *rest))
        return self._with(axis, part, self.offset + start * stride)

    def _entry(self, axis: int, index: int) -> View:
        offset = self.offset
        for extent, stride in reversed(self.dims[axis]):
            offset += index % extent * stride
            index //= extent
        return self._with(axis, (), offset)

    def without(self, axis: int) -> View:
        """Return the view without a dimension, which has size 1."""
        assert not self.dims[axis]
        return replace(self, dims=self.dims[:axis] + self.dims[axis + 1 :])

    def flipped(self, axis: int) -> View:
        """Return a dimension's entries from the last to the first."""
        reach = sum((extent - 1) * stride for extent, stride in self.dims[axis])
        turned = tuple((extent, -stride) for extent, stride in self.dims[axis])
        return self._with(axis, turned, self.offset + reach)

    def repeated(self, axis: int, times: int, each: bool = False) -> View:
        """Return all entries of a dimension ``times`` over, or ``each`` of them."""
        dim, again = self.dims[axis], ((times, 0),)
        return self._with(axis, canonical((*dim, *again) if each else (*again, *dim)), self.offset)

    def _with(self, axis: int, dim: Dim, offset: int) -> View:
        return View(offset, (*self.dims[:axis], dim, *self.dims[axis + 1 :]))


@dataclass(frozen=True)
class Batch:
    """Where the images are among the dimensions of a tensor in an exported graph.

    Mostly they are the first. On the way to matrix products they may be another one, as in (3,
    batch, heads, tokens, channels), or have a dimension of each image within theirs, as in (4 *
    batch, tokens, channels), whose 4 patches of an image are images of their own to the layers.
    """

    axis: int = 0
    """The dimension that counts them."""
    inner: int = 1
    """How many of its entries belong to each image; more than one are the dimension in its place in
    a tensor without the batch."""

    @property
    def is_plain(self) -> bool:
        """Return whether the first dimension counts images, and nothing else."""
        return self == Batch()

    def without(self, sizes: list[object]) -> list[object]:
        """Return the sizes of a tensor without its batch."""
        middle = [self.inner] if self.inner > 1 else []
        return [*sizes[: self.axis], *middle, *sizes[self.axis + 1 :]]

    def own(self, dim: int) -> int | None:
        """Return which dimension of a tensor without its batch is dimension ``dim`` of that with
        it; None for the batch."""
        if dim == self.axis:
            return None
        return dim - (dim > self.axis and self.inner == 1)


def batch_of(node: fx.Node) -> Batch:
    """Return where the images are in what ``node`` makes: the first dimension that is a multiple
    of the free batch size; without one the first."""
    for axis, size in enumerate(getattr(node.meta.get("val"), "shape", ())):
        if isinstance(size, torch.SymInt):
            factor, rest = size.node.expr.as_coeff_Mul()
            if rest.is_Symbol and factor.is_Integer:
                return Batch(axis, int(factor))
            break
    return Batch()


def is_all(view: View, loops: tuple[Loop, ...], tensor: Tensor) -> bool:
    """Return whether ``loops`` read ``tensor`` from its first element to its last."""
    count = math.prod(tensor.shape)
    return view.offset == 0 and loops == canonical(((count, 1),))


def best_axis(view: View, tensor: Tensor) -> int:
    """Return the dimension of ``view`` that had best be the channels: one with which nothing moves,
    or else whose entries lie side by side, or else the first of a map, and of anything smaller one
    with which the fewest loops move it. Where there is one channel, it is a dimension of size 1:
    the entries that lie side by side are columns then."""

    def rank(axis: int) -> tuple[bool, bool, int, int]:
        dim, loops = view.dims[axis], view.loops(axis)
        side_by_side = len(dim) == 1 and dim[0][1] == 1
        if tensor.shape[2] == 1:
            side_by_side = not dim
        work = len(loops) if len(view.dims) == 2 else 0
        return not is_all(view, loops, tensor), not side_by_side, work, axis

    return min(range(len(view.dims)), key=rank)


def along(tensor: Tensor, value: Any, height: int = 1) -> tuple[int, int]:
    """Return a size along height and width that may be given as one number; of samples in a row
    the size along the row, and ``height``."""
    values = [value] if isinstance(value, int) else [int(item) for item in value]
    if len(tensor.torch_shape) == 2:
        return (height, values[0])
    return (values[0], values[-1])


def as_map(x: torch.Tensor) -> torch.Tensor:
    """Return samples in a row (n, c, w) as a map (n, c, 1, w); anything else as it is."""
    return x.unsqueeze(2) if x.dim() == 3 else x


def flat_order(shape: Shape) -> torch.Tensor:
    """Return for every h, w, c position its index in PyTorch's c, h, w order."""
    h, w, c = shape
    return torch.arange(c * h * w).reshape(c, h, w).permute(1, 2, 0).reshape(-1)


@dataclass(frozen=True)
class Clip:
    """An activation function that limits its input to lo..hi; ReLU is (0, inf)."""

    lo: float
    hi: float

    def then(self, after: Clip) -> Clip:
        """Return the one activation that equals ``self`` followed by ``after``."""
        return Clip(min(max(self.lo, after.lo), after.hi), min(max(self.hi, after.lo), after.hi))

    def __call__(self, y: torch.Tensor) -> torch.Tensor:
        """Return ``y`` within the limits."""
        if self == OPEN:
            return y
        return F.relu(y) if self == RELU else y.clamp(self.lo, self.hi)

    @property
    def has_limit(self) -> bool:
        """Return whether it clips at a value other than 0.

        The limit is one int8 number for all levels, so they share one scale.
        """
        return any(math.isfinite(limit) and limit != 0 for limit in (self.lo, self.hi))

    def in_steps(self, scale: float, zero_point: int) -> tuple[int, int]:
        """Return the limits on the int8 grid of ``scale`` and ``zero_point``."""
        limits = []
        for limit, open_end in ((self.lo, -128), (self.hi, 127)):
            if math.isinf(limit):
                limits.append(open_end)
            else:
                limits.append(min(max(round(limit / scale) + zero_point, -128), 127))
        return limits[0], limits[1]


RELU = Clip(0.0, math.inf)
OPEN = Clip(-math.inf, math.inf)
"""No limits: what a stage without an activation has."""


@dataclass(frozen=True)
class Arithmetic:
    """One step of an affine of every channel: ``x * by``, ``x / by``, ``x + by`` or ``x - by``."""

    kind: Literal["mul", "div", "add", "sub"]
    by: str | tuple[float, ...]
    """The name of a tensor of the user's, or its numbers: one, or one for each channel."""


@dataclass(frozen=True)
class NormParams:
    """Names and constants of one batch norm; tensor names are the user's qualified names.

    Without statistics it is what :attr:`then` says alone.
    """

    name: str
    weight: str | None
    bias: str | None
    running_mean: str | None
    running_var: str | None
    eps: float
    momentum: float
    fixed: bool = False
    """Whether its statistics are constants, in training too."""
    then: tuple[Arithmetic, ...] = ()
    """What is done to its results, part of its own affine."""

    @staticmethod
    def affine(name: str, steps: tuple[Arithmetic, ...]) -> NormParams:
        """Return no batch norm, but ``steps`` alone."""
        return NormParams(name, None, None, None, None, 0.0, 0.0, fixed=True, then=steps)

    @property
    def is_affine(self) -> bool:
        """Return whether it has no statistics."""
        return self.running_mean is None

    @property
    def tensors(self) -> tuple[str, ...]:
        """Return the names of all that it takes from the user's module."""
        names = [self.weight, self.bias, self.running_mean, self.running_var]
        names += [step.by for step in self.then if isinstance(step.by, str)]
        return tuple(name for name in names if name is not None)


COMPUTED = "constant."
"""What names of constants begin with that the module computes of its parameters."""


@dataclass(frozen=True)
class Spread:
    """A parameter or constant in the shape in which a map meets it."""

    by: str | tuple[float, ...]
    """The name of a tensor of the user's, or its numbers."""
    shape: tuple[int, ...]
    """As many dimensions as the map has without its batch, 1 where it repeats."""
    before: tuple[int, ...] = ()
    """Zeros before its entries, for each dimension; none where empty."""
    after: tuple[int, ...] = ()
    factor: float = 1.0

    def of(self, value: torch.Tensor) -> torch.Tensor:
        """Return ``value`` in its place."""
        placed = value.reshape(self.shape)
        if self.before:
            pairs = zip(self.before[::-1], self.after[::-1], strict=True)
            placed = F.pad(placed, [side for pair in pairs for side in pair])
        return placed if self.factor == 1 else placed * self.factor
