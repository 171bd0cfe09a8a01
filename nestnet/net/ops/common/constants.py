"""Sums and products of a map with constants that differ between positions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
import torch
from torch import fx

from codegen.graph.ir import Int8Array
from nestnet.net.nested import Constant
from nestnet.net.ops.common.affine import extents, named, unexpanded
from nestnet.net.stages import GridRule, Network, OneInput, Parts, Run, Step
from nestnet.net.tensors import COMPUTED, OPEN, Clip, Spread, Tensor
from nestnet.net.walk import Unsupported, Walk, sizes_of


class _Round(torch.autograd.Function):
    """Round to a step; the gradient passes unchanged."""

    @staticmethod
    def forward(ctx: object, value: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        return (value / step).round_().clamp_(-127, 127).mul_(step)

    @staticmethod
    def backward(ctx: object, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grad, None


@dataclass(frozen=True)
class WithConstant(OneInput):
    """A stage of a map and a sum of constants that are spread over it."""

    spreads: tuple[Spread, ...]
    act: Clip = OPEN

    grid = GridRule.OWN
    elementwise = True

    @property
    def tensors(self) -> tuple[str, ...]:
        """Return the names of the parameters."""
        return tuple(spread.by for spread in self.spreads if isinstance(spread.by, str))

    @property
    def one_scale(self) -> bool:
        """Return whether its activation has a limit, which is one number for all levels."""
        return self.act.has_limit

    @property
    def is_composed(self) -> bool:
        """Return whether something was computed, and is kept in single precision."""
        return any(name.startswith(COMPUTED) for name in self.tensors)

    def with_clip(self, clip: Clip, output: str) -> WithConstant:
        """Return the stage with limits."""
        return replace(self, act=self.act.then(clip), output=output)

    def build(self, tensors: dict[str, torch.Tensor], source: Tensor) -> Parts:  # type: ignore[override]
        """Return the constants."""
        return Parts(constant=Constant(self.spreads, tensors))

    def constant(self, at: Run) -> torch.Tensor:
        """Return the sum of the constants, rounded to its int8 grid under fake quantization."""
        assert at.step.constant is not None
        total: torch.Tensor = at.step.constant()
        if at.net.quantize:
            total = _Round.apply(total, _step_of(total))  # type: ignore[no-untyped-call]
        return total

    def stored(self, step: Step, tensor: Tensor) -> tuple[Int8Array, float]:
        """Return the constants as the integer graph has them, (h, w, c) with 1 in place of extents,
        and their scale; ``tensor``: what they meet."""
        assert step.constant is not None
        with torch.no_grad():
            total = step.constant().float()
            scale = _step_of(total)
            steps = (total / scale).round().clamp(-127, 127).cpu()
        return in_memory(steps, tensor).numpy().astype(np.int8), float(scale)

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return the bytes of the constants, and of the operator's tables."""
        tensor = network.tensor(self.input)
        shapes = [
            tuple(
                extent + (spread.before[dim] + spread.after[dim] if spread.before else 0)
                for dim, extent in enumerate(spread.shape)
            )
            for spread in self.spreads
        ]
        whole = np.broadcast_shapes(*shapes)
        return prod(in_memory(torch.empty(whole), tensor).shape) + self.level_bytes * levels

    level_bytes = 12
    """Of tables for each level."""


def _step_of(total: torch.Tensor) -> torch.Tensor:
    most = total.detach().abs().max().float()
    return torch.where(most > torch.finfo(torch.float32).tiny, most, torch.ones_like(most)) / 127


def in_memory(total: torch.Tensor, tensor: Tensor) -> torch.Tensor:
    """Return what is spread over the dimensions of ``tensor`` as (h, w, c), 1 where it repeats as a
    whole."""
    moved = total.movedim(tensor.channel_axis, -1)
    rest = list(tensor.torch_shape)
    rest.pop(tensor.channel_axis)
    *outer, width = [*moved.shape[:-1]] or [1]
    if any(extent != 1 for extent in outer):
        moved = moved.expand(*rest[:-1], width, moved.shape[-1])
        outer = list(rest[:-1])
    return moved.reshape(prod(outer), width, moved.shape[-1])


def spread_over(walk: Walk, node: fx.Node, argument: object, factor: float = 1.0) -> Spread:
    """Return the constant ``argument`` as what ``node`` makes meets it.

    One that is computed of parameters and buffers becomes a parameter of its own.

    Raises:
        Unsupported: it is computed of activations, or differs between images.
    """
    rank, source = len(node.meta["val"].shape), unexpanded(argument)
    first, *own = extents(argument, rank)
    is_inside = len(sizes_of(node)) == rank  # the images share their dimension with another one
    shape = tuple(int(extent) for extent in ([1] if is_inside else []) + own)  # type: ignore[call-overload]
    if not isinstance(source, fx.Node) or walk.is_activation(source):
        raise Unsupported("a constant that is none", argument, "a parameter or buffer")
    if first != 1 and not isinstance(first, torch.SymInt):
        raise Unsupported(
            "a constant that differs between images", f"{first} first", "1 in place of the batch"
        )
    if source.op == "get_attr" or not isinstance(source.meta.get("val"), torch.Tensor):
        raise Unsupported("arithmetic with what is no tensor", argument, "a parameter or buffer")
    by = named(walk, source) if source.name in walk.targets else walk.compute(source)
    return Spread(by, shape, factor=factor)


def over_positions(
    walk: Walk, node: fx.Node, place: int, factor: float = 1.0
) -> tuple[Tensor, Spread]:
    """Return the activation that is operand ``place`` of ``node``, and the other one of its first
    two, a constant that differs between positions.

    Raises:
        Unsupported: the constant has more positions than the activation.
    """
    tensor = walk.activation(node, place, channel_axis=None, plain=True)
    if tensor.torch_shape != sizes_of(node):
        raise Unsupported(
            "a constant over which an activation is repeated",
            tensor.torch_shape,
            f"an activation of the result's shape {sizes_of(node)}",
            "Expand the activation before",
        )
    return tensor, spread_over(walk, node, node.args[1 - place], factor)
