"""Find numbers that are not finite in a network before they spoil anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from codegen.errors import UserError

if TYPE_CHECKING:
    from nestnet.net.network import NestedNet


def not_finite(network: nn.Module) -> list[str]:
    """Return the names of the parameters and buffers that hold NaN or infinity."""
    state = [*network.named_parameters(), *network.named_buffers()]
    tensors = [(name, tensor) for name, tensor in state if tensor.is_floating_point()]
    if not tensors:
        return []
    # One wait for the device: a sum of zeros is zero unless something is not finite.
    good = torch.stack([(tensor.detach() * 0).sum().float() for _, tensor in tensors]) == 0
    return [name for (name, _), ok in zip(tensors, good.tolist(), strict=True) if not ok]


def check_ranges(network: NestedNet) -> None:
    """Refuse activation ranges that are not finite, naming the first layer with one.

    Raises:
        UserError: there is one.
    """
    for step in network.steps:
        if step.observer is not None and not bool(step.observer.range.isfinite().all()):
            raise UserError(
                f"layer '{step.stage.name}'",
                "its output is not finite on the given images",
                got=f"largest values {', '.join(f'{x:.3g}' for x in step.observer.range.tolist())}",
                expected="finite ones at every level",
                action="Look for NaN or infinity in the weights and batch-norm statistics up to it",
            )
