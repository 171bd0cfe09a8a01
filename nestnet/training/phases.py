"""What a phase of the training begins with."""

from __future__ import annotations

import itertools

from nestnet.net.quantize import quantize
from nestnet.training import distributed
from nestnet.training.evaluation import scores
from nestnet.training.recalibration import refresh_statistics, spread_densest
from nestnet.training.session import Session


def enter(session: Session, phase: str) -> None:
    """Prepare the network for the first epoch of ``phase``."""
    unpruned = all(layer.module.level_map is None for layer in session.layers.values())
    if session.layers and unpruned and phase != "warm-up":
        spread_densest(session.network)
        if phase != "ramp":
            session.prune(1.0)
    if phase == "quantize":
        _quantize(session)


def _quantize(session: Session) -> None:
    """End the float phases: note their scores, then turn fake quantization on.

    The masks stay as the ramp left them: the weights have moved since, and a new ranking would
    exchange trained groups for untrained ones.
    """
    seed = session.config.seed
    refresh_statistics(session.network, session.train, seed)
    levels = range(session.config.levels)
    session.accuracy_float = tuple(scores(session.network, session.test, levels))
    batches = itertools.islice(session.train.epoch(seed, -2, "none"), session.int8.range_batches)
    inputs = (images for images, _ in batches)
    quantize(session.network, inputs, session.int8, combine=distributed.largest)
    session.quantized = True
