"""Give a module values under which every part of it shows in what it computes.

A batch norm whose gain is 0, as at the end of a residual branch, hides the convolution in front of
it; equal values hide their order; a bias of 0 hides whether it is there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from nestnet.frontend.capture import Trace
from nestnet.frontend.torch_export import float_clone


@torch.no_grad()
def made_lively(module: nn.Module) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return a copy of ``module`` without zeros and without tensors of one value, and by their
    names the values of it that differ from the module's."""
    lively = float_clone(module)
    generator = torch.Generator().manual_seed(0)
    changed: set[int] = set()
    for tensor in (*lively.parameters(), *lively.buffers()):
        if tensor.is_floating_point() and _is_dull(tensor):
            tensor.copy_(_filled(tensor, generator))
            changed.add(id(tensor))
    state: dict[str, Tensor] = dict(lively.named_parameters(remove_duplicate=False))
    state.update(lively.named_buffers(remove_duplicate=False))
    return lively, {name: value for name, value in state.items() if id(value) in changed}


def with_values(traced: Trace, values: Mapping[str, Tensor]) -> Trace:
    """Return ``traced`` with other ``values`` of the module's tensors."""
    program = traced.reading.program
    tensors = {
        key: values.get(program.names[key], tensor) for key, tensor in program.tensors.items()
    }
    reading = replace(traced.reading, program=replace(program, tensors=tensors))
    return replace(traced, reading=reading)


def _is_dull(tensor: Tensor) -> bool:
    return tensor.numel() > 0 and bool((tensor == 0).any() or (tensor == tensor.flatten()[0]).all())


def _filled(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Return ``tensor`` with random numbers instead of zeros, or of all where they are equal."""
    if tensor.dim() > 1:
        fan_in = math.prod(tensor.shape[1:])
        fresh = torch.randn(tensor.shape, generator=generator) / math.sqrt(fan_in)
    else:
        fresh = torch.rand(tensor.shape, generator=generator) + 0.5
    if bool((tensor == tensor.flatten()[0]).all()):
        return fresh
    return torch.where(tensor == 0, fresh, tensor)
