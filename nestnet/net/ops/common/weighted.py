"""What convolutions and linear layers share: weights, batch norm, integer tables, an epilogue."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from codegen.formats import storage
from codegen.graph import ir
from nestnet.net.epilogue import Epilogue, integer_weight, make_epilogue, table_affine
from nestnet.net.nested import LevelNorm, NestedWeight
from nestnet.net.stages import GridRule, Network, OneInput, Parts, Run, Stage, Step
from nestnet.net.tensors import OPEN, Clip, NormParams, Tensor, flat_order

if TYPE_CHECKING:
    from nestnet.net.network import NestedNet


@dataclass(frozen=True)
class Weighted(OneInput):
    """A stage with weights: ``out = act(norm(weight * input + bias) + residual)``."""

    weight: str | None
    """The user's parameter name; None for the constant 1 of a batch norm that stands alone."""
    bias: str | None
    norm: NormParams | None = field(default=None, kw_only=True)
    act: Clip = field(default=OPEN, kw_only=True)

    grid = GridRule.OWN

    @abstractmethod
    def nested(self, weight: torch.Tensor, bias: torch.Tensor | None) -> NestedWeight:
        """Return the layer that starts from the user's ``weight`` and ``bias``, the weight's
        columns in h, w, c order."""

    @property
    def one_scale(self) -> bool:
        """Return whether its activation has a limit, which is one number for all levels."""
        return self.act.has_limit

    @property
    def tensors(self) -> tuple[str, ...]:
        """Return the names of weight, bias, and the batch norm's parameters and statistics."""
        names = tuple(name for name in (self.weight, self.bias) if name is not None)
        return names if self.norm is None else (*names, *self.norm.tensors)

    @property
    def is_composed(self) -> bool:
        """Return whether arithmetic became part of its affine."""
        return self.norm is not None and bool(self.norm.then)

    @property
    def variances(self) -> tuple[str, ...]:
        """Return the batch norm's variance."""
        var = None if self.norm is None else self.norm.running_var
        return () if var is None else (var,)

    def with_norm(self, norm: NormParams, output: str) -> Stage | None:
        """Return the stage with the batch norm, or the affine, of its sums, if nothing else is done
        to them yet than an affine follows."""
        if self.residuals or self.act != OPEN:
            return None
        if self.norm is None:
            return replace(self, norm=norm, output=output)
        if not norm.is_affine:
            return None
        both = replace(self.norm, then=(*self.norm.then, *norm.then))
        return replace(self, norm=both, output=output)

    def with_clip(self, clip: Clip, output: str) -> Stage | None:
        """Return the stage that limits its results."""
        return replace(self, act=self.act.then(clip), output=output)

    def build(self, tensors: Mapping[str, torch.Tensor], source: Tensor) -> Parts:
        """Return layer and batch norm; a flattened map's columns are put in h, w, c order."""
        order = None if source.flat_from is None else flat_order(source.flat_from)
        layer: NestedWeight | None = None
        if self.weight is not None:
            weight = tensors[self.weight]
            if order is not None:
                weight = weight.detach()[:, order].requires_grad_(weight.requires_grad)
            layer = self.nested(weight, tensors[self.bias] if self.bias else None)
        if self.norm is None:
            return Parts(layer)
        channels = source.shape[2] if layer is None else len(layer.weight)
        return Parts(
            layer, LevelNorm(self.norm, tensors, channels, order if layer is None else None)
        )

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Compute up to the activation: in real numbers, or as the integer tables do it, once
        these are settled."""
        if at.tensor(self.input).channel_axis == 0:
            return self._run(x, at)
        return self._run(tuple(part.movedim(-1, 1) for part in x), at).movedim(1, -1)

    def _run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Compute the output with the channels in front."""
        step, level = at.step, at.level
        if not settled(at.net, step):
            y = x[0] if step.layer is None else step.layer(x[0], level)
            y = y if step.norm is None else step.norm(y, level)
            return self.act(y + x[1] if self.residuals else y)
        epilogue = self.epilogue(at.net, step)
        gain, offset = table_affine(epilogue, step.layer, step.norm, level)
        shape = (-1, *([1] * (x[0].dim() - 2)))
        y = x[0] if step.layer is None else step.layer(x[0], level, with_bias=False)
        y = y * gain.view(shape) + offset.view(shape)
        return self.act(epilogue.add_residual(y, x[1], level) if self.residuals else y)

    def epilogue(self, net: NestedNet, step: Step) -> Epilogue:
        """Return the integer tables as they are now.

        Raises:
            UserError: numbers that the integer arithmetic cannot hold.
        """
        residual = net.grid(self.residuals[0]) if self.residuals else None
        grids = net.grid(self.input), net.grid(self.output)
        return make_epilogue(net.where(self), step.layer, step.norm, *grids, residual)

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return whether the limit says so: weights have both signs."""
        return self.act.lo >= 0

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return the bytes of multipliers and biases, and of the weights of a batch norm that
        stands alone."""
        out_c = network.tensor(self.output).shape[2]
        unit_weights = out_c if self.weight is None else 0
        return unit_weights + storage.table_bytes(out_c, levels, bool(self.residuals))


def settled(net: NestedNet, step: Step) -> bool:
    """Return whether the integer tables of ``step`` stand still enough to compute with them: batch
    norm is an affine, and the ranges of inputs and output are known and do not move."""
    if not net.quantize or step.observer is None:
        return False
    norm_moves = step.norm is not None and step.norm.moves
    if norm_moves or (step.observer.training and not step.observer.frozen):
        return False
    observers = [step.observer, *(net.observer(name) for name in step.stage.inputs)]
    return all(seen is None or bool((seen.range > 0).all()) for seen in observers)


def stored(layer: NestedWeight) -> tuple[ir.Int8Array, int, ir.Uint8Array | None]:
    """Return weights, group size and level map of ``layer`` as the integer graph has them."""
    return laid_out(layer, integer_weight(layer), layer.group_size, layer.level_map)


def laid_out(
    layer: NestedWeight, steps: torch.Tensor, group_size: int, level_map: torch.Tensor | None
) -> tuple[ir.Int8Array, int, ir.Uint8Array | None]:
    """Return int8 weights (O, kh, kw, I) or (O, I), their group size and level map, channels last.

    A dilated or a transposed kernel becomes one with gaps (:meth:`NestedWeight.arranged`): in an
    ungrouped one groups that no level has, also where all others are in every level.

    Args:
        layer: how the weights are used.
        steps: the weights, (O, I, kh, kw) or (O, I).
        group_size: of ``level_map``.
        level_map: of groups; None where every level has all of them.
    """
    weight = _channels_last(steps).astype(np.int8)
    levels = None if level_map is None else _channels_last(level_map)
    if weight.ndim == 2:
        return weight, 1 if levels is None else group_size, levels
    out_c, kernel_h, kernel_w, in_c = weight.shape
    has_gaps = not layer.arranged(np.ones((1, kernel_h, kernel_w, 1), np.bool_), 0).all()
    if levels is None:
        group_size = 1
        if has_gaps and layer.groups == 1:
            group_size = 1 if in_c == 1 else 2 if in_c == 2 else 4
            shape = (out_c, kernel_h, kernel_w, -(-in_c // group_size))
            levels = np.zeros(shape, np.uint8)
    if levels is not None and layer.groups == 1:
        levels = layer.arranged(levels, ir.NEVER)
    return layer.arranged(weight, 0), group_size, levels


def _channels_last(tensor: torch.Tensor) -> NDArray[Any]:
    """Return (O, n, kh, kw) as an array (O, kh, kw, n), (O, n) as it is."""
    array: NDArray[Any] = tensor.cpu().numpy()
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1) if array.ndim == 4 else array)
