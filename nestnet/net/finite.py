"""Find numbers that no network can compute with before they spoil anything.

Activations hide them: an infinite bias behind a ReLU6 is a channel of sixes, an infinite variance
one of zeros, and the ranges stay finite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from codegen.errors import UserError

if TYPE_CHECKING:
    from nestnet.net.network import NestedNet


LARGEST = 1e18
"""Magnitude of weights, statistics and activations from which float32 is not trusted: products of
two smaller ones, and sums of hundreds of these, are finite. Diverged training passes it, trained
networks do not."""


def not_finite(network: nn.Module) -> list[str]:
    """Return the names of the parameters and buffers that hold NaN, infinity or numbers beyond
    :data:`LARGEST`."""
    state = [*network.named_parameters(), *network.named_buffers()]
    tensors = [(name, t) for name, t in state if t.is_floating_point() and t.numel()]
    if not tensors:
        return []
    # One wait for the device; NaN is not below anything.
    good = torch.stack([t.detach().abs().amax().float() for _, t in tensors]) <= LARGEST
    return [name for (name, _), ok in zip(tensors, good.tolist(), strict=True) if not ok]


def check_state(network: NestedNet) -> None:
    """Refuse weights and statistics of :func:`not_finite`, naming the first.

    Raises:
        UserError: there is one.
    """
    names = [name for name in not_finite(network) if not name.startswith("observers.")]
    if names:
        others = f", and in {len(names) - 1} other tensors" if len(names) > 1 else ""
        raise UserError(
            f"tensor '{names[0].removeprefix('body.')}'",
            "holds values that no network can compute with",
            got=f"NaN, infinity or magnitudes beyond {LARGEST:g}{others}",
            expected="finite numbers",
            action="Go back to a state of the network from before its training diverged",
        )


def check_ranges(network: NestedNet) -> None:
    """Refuse activation ranges that are not finite, naming the first layer with one.

    Raises:
        UserError: there is one.
    """
    for step in network.steps:
        if step.observer is not None and not bool((step.observer.range <= LARGEST).all()):
            raise UserError(
                f"layer '{step.stage.name}'",
                "its output is not finite on the given images",
                got=f"largest values {', '.join(f'{x:.3g}' for x in step.observer.range.tolist())}",
                expected=f"at most {LARGEST:g} at every level",
                action="Look for NaN, infinity and very large numbers in the weights and "
                "batch-norm statistics up to it",
            )
