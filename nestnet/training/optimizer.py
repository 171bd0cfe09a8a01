"""What moves the weights: the optimizer of a run, and the average of where they were.

The state of both goes by name, as a checkpoint holds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from codegen.errors import UserError
from nestnet.config import TrainConfig
from nestnet.net.nested import LevelNorm
from nestnet.net.network import NestedNet


def optimizer_of(network: NestedNet, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer of ``config``; weight decay on weights, not on biases and batch norms.

    Raises:
        UserError: all parameters are frozen.
    """
    trained = [p for p in network.parameters() if p.requires_grad]
    if not trained:
        raise UserError(
            config.model,
            "every parameter of the model is frozen",
            got="requires_grad=False everywhere",
            expected="at least one parameter to train",
            action="Set requires_grad where training may change the model, or nest it without "
            "training: nestnet.nest, nestnet.quantize, nestnet.export",
        )
    groups = [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr)
    nesterov = config.momentum > 0
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=nesterov)


def state_by_name(optimizer: torch.optim.Optimizer, network: NestedNet) -> dict[str, Tensor]:
    """Return what ``optimizer`` remembers, keys as in ``momentum_buffer.body.stem.weight``."""
    names = {id(p): name for name, p in network.named_parameters()}
    return {
        f"{entry}.{names[id(parameter)]}": value
        for parameter, state in optimizer.state.items()
        for entry, value in state.items()
        if isinstance(value, Tensor)
    }


def load_state(
    optimizer: torch.optim.Optimizer, network: NestedNet, found: Mapping[str, Tensor]
) -> None:
    """Give ``optimizer`` what :func:`state_by_name` returned of another one."""
    parameters = dict(network.named_parameters())
    for key, value in found.items():
        entry, _, name = key.partition(".")
        if name in parameters:
            parameter = parameters[name]
            alike = value.shape == parameter.shape  # else it counts steps
            own = torch.empty_like(parameter) if alike else torch.empty_like(value)
            optimizer.state[parameter][entry] = own.copy_(value)


class Averaged:
    """The average of one network's parameters and running statistics over the last steps.

    A step of a large learning rate leaves weights a little beside where they hover; their average
    lies in the middle. Source: Polyak and Juditsky, SIAM J. Control Optim. 30(4), 1992.
    """

    def __init__(self, network: NestedNet, decay: float) -> None:
        """Start from the network as it is.

        Args:
            network: whose tensors are followed; they must stay the same objects.
            decay: share of the average that a step leaves, 0..1: 0.998 averages some 500 steps.
        """
        self.decay = decay
        self._live = _followed(network)
        self._mean = {name: value.detach().clone() for name, value in self._live.items()}

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Move the average towards the network after ``step`` of the run, counted from 0.

        The first steps count more, or the average would remember the untrained weights:
        at most (1 + step) / (10 + step) of it stays.
        """
        share = 1.0 - min(self.decay, (1 + step) / (10 + step))
        live = [value.detach() for value in self._live.values()]
        torch._foreach_lerp_(list(self._mean.values()), live, share)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Let the network be the average while the block runs; what changes there stays in it."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def settle(self) -> None:
        """Give the network the average for good."""
        for name, value in self._live.items():
            value.copy_(self._mean[name])

    def state(self) -> dict[str, Tensor]:
        """Return the average by the names of the network's state."""
        return dict(self._mean)

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`state` returned."""
        for name, value in self._mean.items():
            value.copy_(state[name])

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, value in self._live.items():
            mean = self._mean[name]
            kept = mean.clone()
            mean.copy_(value)
            value.copy_(kept)


def _followed(network: NestedNet) -> dict[str, Tensor]:
    """Return the parameters and running statistics of ``network`` by their names in its state."""
    found: dict[str, Tensor] = dict(network.named_parameters())
    for name, module in network.named_modules():
        if isinstance(module, LevelNorm):
            found[f"{name}.running_mean"] = module.running_mean
            found[f"{name}.running_var"] = module.running_var
    return found
