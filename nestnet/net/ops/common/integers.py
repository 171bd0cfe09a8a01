"""From values on an int8 grid to the integers that an operator of the graph reads, and back."""

from __future__ import annotations

import torch

from codegen.graph.ir import Int8Array
from nestnet.net.epilogue import Grid
from nestnet.net.tensors import Tensor, from_memory, to_memory


def steps_of(x: torch.Tensor, tensor: Tensor, grid: Grid, level: int) -> Int8Array:
    """Return the values ``x`` of ``tensor`` as int8 (n, h, w, c)."""
    steps = (x.detach().double() / grid.scale[level]).round() + grid.zero_point
    flat = to_memory(steps.clamp(-128, 127), tensor).to(torch.int8).cpu()
    integers: Int8Array = flat.reshape(-1, *tensor.shape).numpy()
    return integers


def as_computed(
    y: torch.Tensor, integers: Int8Array, tensor: Tensor, grid: Grid, level: int
) -> torch.Tensor:
    """Return what ``integers`` (n, h, w, c) stand for as values of ``tensor``, with the gradients
    of ``y``, the same in real numbers."""
    flat = torch.from_numpy(integers).flatten(1).float() - grid.zero_point
    found = from_memory(flat * torch.tensor(grid.scale[level]), tensor).to(y)
    return y + (found - y).detach() if y.requires_grad else found
