"""What a phase of the training begins with, and the batch norm of every level with it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import torch

from nestnet.net.nested import LevelNorm
from nestnet.net.network import NestedNet
from nestnet.net.quantize import quantize
from nestnet.training import distributed
from nestnet.training.batches import Batch, Batches
from nestnet.training.evaluation import scores
from nestnet.training.session import Session

STATISTICS_BATCHES = 40
"""Training batches that batch-norm statistics are averaged over."""


def enter(session: Session, phase: str) -> None:
    """Prepare the network for the first epoch of ``phase``."""
    unpruned = all(layer.module.level_map is None for layer in session.layers.values())
    if session.layers and unpruned and phase != "warm-up":
        spread_densest(session.network)
        if session.average is not None:
            with session.average.shown():
                spread_densest(session.network)
        if phase != "ramp":
            session.prune(1.0)
    if phase == "quantize":
        _quantize(session)


def _quantize(session: Session) -> None:
    """End the float phases: note their scores, then turn fake quantization on.

    Averaged weights take the place of the last ones.

    The masks stay as the ramp left them: the weights have moved since, and a new ranking would
    exchange trained groups for untrained ones.
    """
    seed = session.config.seed
    if session.average is not None:
        session.average.settle()
        session.average = None
    refresh_statistics(session.network, session.train, seed)
    levels = range(session.config.levels)
    session.accuracy_float = tuple(scores(session.network, session.test, levels))
    batches = itertools.islice(session.train.epoch(seed, -2, "none"), session.int8.range_batches)
    inputs = (images for images, _ in batches)
    quantize(session.network, inputs, session.int8, combine=distributed.largest)
    session.quantized = True


def _level_norms(network: NestedNet) -> list[LevelNorm]:
    return [module for module in network.modules() if isinstance(module, LevelNorm)]


@torch.no_grad()
def spread_densest(network: NestedNet) -> None:
    """Give every level the densest level's batch norm, from which the pruning ramp starts."""
    for norm in _level_norms(network):
        for parameters in (norm.weight, norm.bias):
            for level in range(len(parameters) - 1):
                parameters[level].copy_(parameters[-1])
        norm.running_mean.copy_(norm.running_mean[-1:].expand_as(norm.running_mean).clone())
        norm.running_var.copy_(norm.running_var[-1:].expand_as(norm.running_var).clone())


@torch.no_grad()
def measure_statistics(network: NestedNet, batches: Iterable[Batch]) -> None:
    """Replace every level's running statistics by their plain mean over ``batches``.

    Running averages lag behind the weights, most at levels that run in few steps.
    """
    norms = _level_norms(network)
    momenta = [norm.momentum for norm in norms]
    network.train()
    for count, (images, _) in enumerate(batches, start=1):
        for norm in norms:
            norm.momentum = 1.0 / count
        for level in range(network.n_levels):
            network.logits(images, level)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    distributed.average_statistics(network)


def refresh_statistics(network: NestedNet, train: Batches, seed: int) -> None:
    """Measure batch-norm statistics of every level on unchanged training images."""
    measure_statistics(network, itertools.islice(train.epoch(seed, -1, "none"), STATISTICS_BATCHES))
