"""Merge convolutions that read one tensor and are added into one convolution.

Blocks that are trained with parallel branches and deployed with one (RepVGG, MobileOne) add
convolutions of one input, each with a batch norm, and perhaps a batch norm of the input itself.
With fixed statistics each branch is linear, and so is their sum: its kernel is the sum of theirs,
each scaled by its batch norm, smaller ones at their place within the largest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from nestnet.net.ops.conv2d import Conv2D
from nestnet.net.stages import Network, Stage, inside
from nestnet.net.tensors import OPEN, NormParams, as_map

_LEAST_VARIANCE = 1e-12
"""Of a merged batch norm: what gains of 0 make is constant."""

Values = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Branches:
    """A sum of convolutions of one tensor, at least two."""

    convolutions: tuple[Conv2D, ...]
    """As if each stood alone."""
    merged: Conv2D
    """What they are together, its tensors yet to be computed (:func:`_values`)."""
    gone: tuple[Stage, ...]
    """The stages it stands for, in execution order; it belongs where the last of them is."""
    saved_macs: int

    def __str__(self) -> str:
        """Return the names of what is added."""
        return " + ".join(f"'{conv.name}'" for conv in self.convolutions)


def find(network: Network) -> tuple[Branches, ...]:
    """Return the sums of parallel convolutions in a fused network, in execution order."""
    seen: set[str] = set()
    found = []
    for stage in reversed(network.stages):
        branches = None if stage.output in seen else _at(network, stage)
        if branches is not None:
            seen |= {other.output for other in branches.gone}
            found.append(branches)
    return tuple(reversed(found))


def merge(
    network: Network, module: nn.Module, frozen: Collection[str] = ()
) -> tuple[Network, dict[str, torch.Tensor]]:
    """Return ``network`` with one convolution for each sum of parallel ones, and the values of that
    convolution's tensors by their names.

    Args:
        network: a fused one.
        module: the user's.
        frozen: parameters of it that are not to be trained.
    """
    tensors: dict[str, torch.Tensor] = dict(module.named_buffers(remove_duplicate=False))
    for name, parameter in module.named_parameters(remove_duplicate=False):
        tensors[name] = parameter.detach().requires_grad_(
            parameter.requires_grad and name not in frozen
        )
    stages = list(network.stages)
    values: dict[str, torch.Tensor] = {}
    for branches in find(network):
        values |= _values(branches, tensors)
        for stage in branches.gone[:-1]:
            stages.remove(stage)
        stages[stages.index(branches.gone[-1])] = branches.merged
    names = {*network.inputs, *(stage.output for stage in stages)}
    kept = tuple(tensor for tensor in network.tensors if tensor.name in names)
    return replace(network, stages=tuple(stages), tensors=kept), values


def _at(network: Network, root: Stage) -> Branches | None:
    """Return what ``root`` adds up, if that can be merged."""
    uses = Counter(name for stage in network.stages for name in stage.inputs)
    uses.update(network.outputs)
    makers = {stage.output: stage for stage in network.stages}
    whole = root.summands(network)
    gone: list[Stage] = [root]
    convolutions: list[Conv2D] = []
    rest: list[str] = []
    work = [whole]
    while work:
        part = work.pop()
        if part is None:
            return None
        convolutions += () if part.own is None else (part.own,)
        for name in part.tensors:
            maker = makers.get(name) if uses[name] == 1 else None
            inner = None if maker is None else maker.summands(network)
            if maker is None or inner is None or inner.act != OPEN:
                rest.append(name)
            else:
                work.append(inner)
                gone.append(maker)
    if whole is None or len(rest) > 1 or not _fit(network, convolutions):
        return None
    convolutions.sort(key=lambda conv: network.stages.index(makers[conv.output]))
    merged = _merged(network, convolutions, root.output, rest[0] if rest else None)
    if merged is None:
        return None
    before = sum(conv.weight_count(network) * conv.positions(network) for conv in convolutions)
    after = merged.weight_count(network) * merged.positions(network)
    gone.sort(key=network.stages.index)
    merged = replace(merged, act=whole.act)
    return Branches(tuple(convolutions), merged, tuple(gone), before - after)


def _fit(network: Network, convolutions: list[Conv2D]) -> bool:
    """Return whether these are several linear functions of one tensor, alike but for kernels and
    padding."""
    if len(convolutions) < 2:
        return False
    weighted = [conv for conv in convolutions if conv.weight is not None]
    alike = {(conv.input, conv.stride) for conv in convolutions}
    normed = {conv.norm is not None for conv in convolutions}
    first = convolutions[0]
    return (
        len(weighted) > 0
        and len(alike) == len(normed) == len({conv.groups for conv in weighted}) == 1
        and len({conv.dilation for conv in convolutions}) == 1
        and first.dilation == (1, 1)
        and network.tensor(first.input).flat_from is None
        and all(
            conv.norm is None or not (conv.norm.is_affine or conv.norm.fixed or conv.norm.then)
            for conv in convolutions
        )
    )


def _merged(
    network: Network, convolutions: list[Conv2D], output: str, residual: str | None
) -> Conv2D | None:
    """Return the convolution that computes the sum; None if it would pad more than its kernel."""
    weighted = [conv for conv in convolutions if conv.weight is not None]
    main = max(weighted, key=lambda conv: conv.kernel[0] * conv.kernel[1])
    top, left = (max(conv.padding[axis] for conv in convolutions) for axis in (0, 1))
    kernel = tuple(
        max(start - conv.padding[axis] + conv.kernel[axis] for conv in convolutions)
        for axis, start in ((0, top), (1, left))
    )
    extents = network.tensor(main.input).shape, network.tensor(output).shape
    bottom, right = (
        max((out - 1) * stride + size - start - extent, 0)
        for extent, out, stride, size, start in zip(
            extents[0][:2], extents[1][:2], main.stride, kernel, (top, left), strict=True
        )
    )
    padding = (top, left, bottom, right)
    if not inside(padding, kernel):
        return None
    norm = None
    if main.norm is not None:
        name = main.norm.name
        weight, bias, mean, var = (
            _name(name, key) for key in ("weight", "bias", "running_mean", "running_var")
        )
        norm = NormParams(name, weight, bias, mean, var, main.norm.eps, main.norm.momentum)
    return Conv2D(
        main.name,
        main.input,
        output,
        _name(main.name, "weight"),
        None if norm else _name(main.name, "bias"),
        (kernel[0], kernel[1]),
        main.stride,
        padding,
        main.groups,
        residual,
        norm=norm,
        is_merged=True,
    )


def _name(layer: str, key: str) -> str:
    """Return what a merged tensor is called: as no tensor of a module is."""
    return f"{layer}.{key} of all branches"


@dataclass(frozen=True)
class _Linear:
    """A convolution as ``kernel * x + shift``, in double precision."""

    kernel: torch.Tensor
    """(o, c / groups, kh, kw)."""
    shift: torch.Tensor
    """(o,), of the batch norm: what is added to the centred sums."""
    mean: torch.Tensor
    """(o,), of ``kernel * x`` over the images whose statistics the batch norm has."""
    variance: torch.Tensor
    """The same; of a convolution without batch norm mean and variance are 0."""


def _linear(conv: Conv2D, merged: Conv2D, tensors: Values, channels: int) -> _Linear:
    """Return ``conv``, a branch of ``merged``, whose input has ``channels``."""

    def value(name: str | None, default: float) -> torch.Tensor:
        found = torch.full((len(kernel),), default) if name is None else tensors[name]
        return found.detach().double()

    if conv.weight is None:
        kernel = torch.zeros(channels, channels // merged.groups, 1, 1, dtype=torch.float64)
        own = torch.arange(channels)
        kernel[own, own % kernel.shape[1]] = 1
    else:
        weight = tensors[conv.weight].detach().double()
        kernel = as_map(weight) if weight.dim() > 2 else weight[:, :, None, None]
    bias = value(conv.bias, 0.0)
    if conv.norm is None:
        nothing = torch.zeros_like(bias)
        return _Linear(kernel, bias, nothing, nothing)
    norm = conv.norm
    variance = value(norm.running_var, 1.0)
    scale = value(norm.weight, 1.0) / (variance + norm.eps).sqrt()
    return _Linear(
        kernel * scale[:, None, None, None],
        value(norm.bias, 0.0),
        scale * (value(norm.running_mean, 0.0) - bias),
        scale.square() * variance,
    )


def _values(branches: Branches, tensors: Values) -> dict[str, torch.Tensor]:
    """Return the tensors of the merged convolution.

    Its batch norm has the sum's mean, which is known, and the variance it has if the branches are
    independent, which is a guess; its gain takes the guess back. So it changes nothing, and begins
    about where statistics measured on images get.
    """
    merged = branches.merged
    channels = max(
        tensors[conv.weight].shape[1] * conv.groups
        for conv in branches.convolutions
        if conv.weight is not None
    )
    parts = [_linear(conv, merged, tensors, channels) for conv in branches.convolutions]
    out_c, in_c = next(
        part.kernel.shape[:2]
        for part, conv in zip(parts, branches.convolutions, strict=True)
        if conv.weight is not None
    )
    kernel = torch.zeros(out_c, in_c, *merged.kernel, dtype=torch.float64)
    for part, conv in zip(parts, branches.convolutions, strict=True):
        top, left = merged.padding[0] - conv.padding[0], merged.padding[1] - conv.padding[1]
        bottom, right = top + conv.kernel[0], left + conv.kernel[1]
        kernel[:, :, top:bottom, left:right] += part.kernel
    shift, mean, variance = (
        torch.stack([getattr(part, key) for part in parts]).sum(0)
        for key in ("shift", "mean", "variance")
    )
    found = {merged.weight: kernel, merged.bias: shift}
    if merged.norm is not None:
        variance = variance.clamp_min(_LEAST_VARIANCE)
        found |= {
            merged.norm.weight: (variance + merged.norm.eps).sqrt(),
            merged.norm.bias: shift,
            merged.norm.running_mean: mean,
            merged.norm.running_var: variance,
        }
    learned = dict(_learned(branches, tensors))
    return {
        name: value.float().requires_grad_(learned.get(name, False))
        for name, value in found.items()
        if name is not None
    }


def _learned(branches: Branches, tensors: Values) -> Iterator[tuple[str, bool]]:
    """Yield the names of what the merged convolution learns, and whether a branch does."""
    merged = branches.merged

    def any_of(names: list[str | None]) -> bool:
        return any(tensors[name].requires_grad for name in names if name is not None)

    norms = [conv.norm for conv in branches.convolutions if conv.norm is not None]
    weights = [conv.weight for conv in branches.convolutions]
    gains, shifts = [norm.weight for norm in norms], [norm.bias for norm in norms]
    yield merged.weight or "", any_of(weights)
    if merged.bias is not None:
        yield merged.bias, any_of([conv.bias for conv in branches.convolutions])
    if merged.norm is not None:
        yield merged.norm.weight or "", any_of(gains)
        yield merged.norm.bias or "", any_of(shifts)
