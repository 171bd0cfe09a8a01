"""What layers of a nested network learn: weights with a mask per level, batch norm per level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from codegen.graph.ir import NEVER
from nestnet.net.quantizer import WIDEST_INPUT, fake_quantize_weight
from nestnet.net.tensors import NormParams, Spread

GradRouting = Literal["shared", "shell", "mixed"]
"""Which weights a level's loss updates: all it contains, only those it adds, or all it contains
but MIXED_DECAY times as strongly for each level further in."""

MIXED_DECAY = 0.5


class _Mask(torch.autograd.Function):
    """``weight * mask`` whose gradient is ``grad * grad_mask``."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, mask: Tensor, grad_mask: Tensor) -> Tensor:
        ctx.save_for_backward(grad_mask)
        return weight * mask

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (grad_mask,) = ctx.saved_tensors
        return grad * grad_mask.to(grad.dtype), None, None


class NestedWeight(nn.Module):
    """A weight of which every level uses the part its level map says.

    ``level_map`` is None for a layer that is dense at every level, else uint8 of shape
    (O, ceil(I / group_size), kh, kw) or (O, ceil(I / group_size)): the first level that contains
    the group of ``group_size`` consecutive input channels; 255 for groups no level contains.
    """

    level_map: Tensor | None
    group_size_value: Tensor
    stride: tuple[int, int] = (1, 1)
    """Along height and width."""
    dilation: tuple[int, int] = (1, 1)
    """Distance of a kernel's elements along height and width."""
    groups: int = 1
    """Of input and output channels."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """Copy ``weight`` (O, I, kh, kw) or (O, I) and ``bias`` (O,); frozen ones stay frozen."""
        super().__init__()
        copy = weight.detach().clone()
        if copy.dim() == 4:
            copy = copy.contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(copy, weight.requires_grad)
        self.bias = None
        if bias is not None:
            self.bias = nn.Parameter(bias.detach().clone(), bias.requires_grad)
        self.register_buffer("level_map", None)
        self.register_buffer("group_size_value", torch.tensor(1, dtype=torch.int64))
        self.grad_routing: GradRouting = "shared"
        self.quantize = False
        self.input_span = WIDEST_INPUT
        """Steps that an int8 input is at most from its zero point."""
        self._cache: dict[tuple[str, int], Tensor] = {}
        self._cache_source: tuple[Tensor | None, int] = (None, 0)

    @property
    def group_size(self) -> int:
        """Consecutive input channels per group: 1, 2 or 4."""
        return int(self.group_size_value)

    def set_level_map(self, level_map: Tensor | None, group_size: int = 1) -> None:
        """Install the level map (see the class), or with None make the layer dense.

        Raises:
            ValueError: the map's shape does not fit the weight and ``group_size``.
        """
        if level_map is not None:
            out_c, in_c, *kernel = self.weight.shape
            expected = (out_c, -(-in_c // group_size), *kernel)
            if tuple(level_map.shape) != expected:
                raise ValueError(f"level map has shape {tuple(level_map.shape)}, not {expected}")
            level_map = level_map.to(device=self.weight.device, dtype=torch.uint8)
        self.level_map = level_map
        self.group_size_value.fill_(group_size)

    def mask(self, level: int) -> Tensor | None:
        """Return the 0/1 mask of ``level``, shaped like the weight; None for a dense layer."""
        return self._masks("shared", level)

    def _masks(self, kind: str, level: int) -> Tensor | None:
        """Return the cached mask of ``level``: what it contains ('shared'), what it adds ('shell')
        or what it contains, inner levels damped ('mixed')."""
        level_map = self.level_map
        if level_map is None:
            return None
        source, version = self._cache_source
        if source is not level_map or version != level_map._version:
            self._cache, self._cache_source = {}, (level_map, level_map._version)
        found = self._cache.get((kind, level))
        if found is None:
            chosen = level_map == level if kind == "shell" else level_map <= level
            chosen = chosen & (level_map != NEVER)
            if kind == "mixed":
                damping = MIXED_DECAY ** (level - level_map.float())
                chosen = torch.where(chosen, damping, 0.0)
            full = chosen.repeat_interleave(self.group_size, dim=1)[:, : self.weight.shape[1]]
            found = full.to(self.weight.dtype)
            if found.dim() == 4:
                found = found.contiguous(memory_format=torch.channels_last)
            self._cache[(kind, level)] = found
        return found

    def effective_weight(self, level: int) -> Tensor:
        """Return the weight as ``level`` sees it: masked and, if on, fake-quantized."""
        weight: Tensor = self.weight
        if self.quantize:
            weight = fake_quantize_weight(weight, self.kept(), self.input_span)
        mask = self.mask(level)
        if mask is None:
            return weight
        grad_mask = self._masks(self.grad_routing, level)
        masked: Tensor = _Mask.apply(weight, mask, grad_mask)  # type: ignore[no-untyped-call]
        return masked

    def kept(self) -> Tensor | None:
        """Return the mask of all weights that some level contains."""
        return self.mask(NEVER - 1)

    def arranged(self, array: NDArray[Any], fill: int) -> NDArray[Any]:
        """Return (O, kh, kw, n), of weights or of their groups, as a convolution with stride and
        without dilation has it on a device, ``fill`` where it has none of them."""
        if self.dilation == (1, 1):
            return array
        out_c, kernel_h, kernel_w, n = array.shape
        step_h, step_w = self.dilation
        extents = ((kernel_h - 1) * step_h + 1, (kernel_w - 1) * step_w + 1)
        spread = np.full((out_c, *extents, n), fill, array.dtype)
        spread[:, ::step_h, ::step_w] = array
        return spread

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Adopt the state's level map, whatever its shape, so that strict loading works."""
        saved = state_dict.get(prefix + "level_map")
        if saved is None:
            self.level_map = None
        else:
            self.level_map = torch.empty_like(saved, device=self.weight.device)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _copies(parameter: nn.Parameter, count: int) -> nn.ParameterList:
    return nn.ParameterList(
        [nn.Parameter(parameter.detach().clone(), parameter.requires_grad) for _ in range(count)]
    )


class LevelNorm(nn.Module):
    """Batch norm with its own statistics and its own affine at every level.

    Each level's affine is a parameter of its own, so an optimizer leaves levels alone that did
    not run. Running statistics are buffers of shape (levels, c).
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        params: NormParams,
        tensors: Mapping[str, Tensor],
        channels: int,
        order: Tensor | None = None,
    ) -> None:
        """Start one level from the user's current values, ``channels`` reordered by ``order``.

        A frozen affine stays frozen: without a parameter of the user's there is nothing to train.
        Statistics never are: each level needs its own.
        """
        super().__init__()

        def value(name: str | None, default: float) -> Tensor:
            if name is None:
                return torch.full((channels,), default)
            return tensors[name].detach().clone().float()

        mean, var = value(params.running_mean, 0.0), value(params.running_var, 1.0)
        weight, bias = value(params.weight, 1.0), value(params.bias, 0.0)
        learns = [params.weight, params.bias]
        trained = [name is not None and tensors[name].requires_grad for name in learns]
        for step in params.then:
            own = isinstance(step.by, str)
            by = tensors[step.by].detach().flatten() if own else torch.tensor(step.by)  # type: ignore[index]
            moves = own and tensors[step.by].requires_grad  # type: ignore[index]
            if step.kind in ("mul", "div"):
                factor = by if step.kind == "mul" else 1 / by
                weight, bias = weight * factor, bias * factor
                trained[0] |= moves
            else:
                bias = bias + (by if step.kind == "add" else -by)
                trained[1] |= moves
        if order is not None:
            mean, var, weight, bias = (x[order] for x in (mean, var, weight, bias))
        self.name = params.name
        self.eps = params.eps
        self.momentum = params.momentum
        self.frozen = False
        self.fixed = params.fixed
        self.weight = nn.ParameterList([nn.Parameter(weight.clone().float(), trained[0])])
        self.bias = nn.ParameterList([nn.Parameter(bias.clone().float(), trained[1])])
        self.register_buffer("running_mean", mean[None])
        self.register_buffer("running_var", var[None])

    @property
    def moves(self) -> bool:
        """Whether a forward pass normalizes by the batch and moves the running statistics."""
        return self.training and not (self.frozen or self.fixed)

    def set_levels(self, n_levels: int) -> None:
        """Give every level a copy of the densest level's state."""
        self.weight = _copies(self.weight[-1], n_levels)
        self.bias = _copies(self.bias[-1], n_levels)
        self.running_mean = self.running_mean[-1:].repeat(n_levels, 1)
        self.running_var = self.running_var[-1:].repeat(n_levels, 1)

    def forward(self, x: Tensor, level: int) -> Tensor:
        """Normalize; batch statistics in training unless ``frozen``."""
        return F.batch_norm(
            x,
            self.running_mean[level],
            self.running_var[level],
            self.weight[level],
            self.bias[level],
            self.moves,
            self.momentum,
            self.eps,
        )

    def affine(self, level: int) -> tuple[Tensor, Tensor]:
        """Return gain and shift (c,) of ``level`` that its running statistics amount to."""
        gain = self.weight[level] * torch.rsqrt(self.running_var[level] + self.eps)
        return gain, self.bias[level] - self.running_mean[level] * gain


class Constant(nn.Module):
    """What is added to a map, or multiplied with it, position by position: a sum of parameters,
    each spread over it, the same at every level."""

    def __init__(self, spreads: Sequence[Spread], tensors: Mapping[str, Tensor]) -> None:
        """Start from the user's values; frozen ones and numbers stay as they are."""
        super().__init__()
        self.spreads = tuple(spreads)
        values = [
            tensors[spread.by] if isinstance(spread.by, str) else torch.tensor(spread.by)
            for spread in spreads
        ]
        self.values = nn.ParameterList(
            [nn.Parameter(value.detach().clone().float(), value.requires_grad) for value in values]
        )

    def forward(self) -> Tensor:
        """Return the sum, in the shape of the map without its batch, 1 where it repeats."""
        pairs = zip(self.spreads, self.values, strict=True)
        parts = [spread.of(value) for spread, value in pairs]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total
