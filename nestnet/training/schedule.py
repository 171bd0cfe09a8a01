"""What a training step is given by its place in the run: learning rate and levels."""

from __future__ import annotations

import math

import numpy as np

from nestnet.config import Phase, TrainConfig


def learning_rate(config: TrainConfig, phase: Phase, epochs_done: float) -> float:
    """Return the rate: one cycle over all float phases, a second, lower one when quantized."""
    peak, progress = config.lr_quantized, (epochs_done - phase.first) / phase.epochs
    if phase.name != "quantize":
        last = max(p.last for p in config.phases() if p.name != "quantize")
        peak, progress = config.lr, epochs_done / last
    return one_cycle(peak, progress, config.warmup, config.lr_end)


def one_cycle(peak: float, progress: float, rise: float, final: float) -> float:
    """Return the learning rate at ``progress`` (0..1): linear rise, cosine fall.

    Starts at ``peak / 10``, reaches ``peak`` at ``rise`` and ends at ``final * peak``.
    """
    done = min(max(progress, 0.0), 1.0)
    if done < rise:
        return peak * (0.1 + 0.9 * done / rise)
    fall = (done - rise) / (1.0 - rise)
    return peak * (final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * fall)))


def levels_of_phase(config: TrainConfig, phase: Phase) -> tuple[int, ...]:
    """Return the levels that ``phase`` trains: the warm-up only the densest, unpruned."""
    first = config.levels - 1 if phase.name == "warm-up" else 0
    return tuple(range(first, config.levels))


def levels_of_step(config: TrainConfig, phase: Phase, step: int) -> tuple[int, ...]:
    """Return the levels that run in ``step`` of the run, the densest first."""
    if phase.name == "warm-up":
        return levels_of_phase(config, phase)
    return drawn_levels(config.levels, step, config.seed)


def drawn_levels(levels: int, step: int, seed: int) -> tuple[int, ...]:
    """Return the levels that run in training step ``step``, the densest first.

    Two forward and backward passes a step whatever the number of levels: the densest always (it
    teaches the others) and one other. Of the others the sparsest, which has most to relearn, takes
    half the steps and the rest share the other half equally, in an order shuffled block by block
    from (seed, block), so the shares are exact and a step's levels depend on nothing else.
    """
    densest = levels - 1
    if levels == 1:
        return (0,)
    if levels == 2:
        return (1, 0)
    middle = list(range(1, densest))
    block, position = divmod(step, 2 * len(middle))
    order = np.random.default_rng((seed, block)).permutation([0] * len(middle) + middle)
    return (densest, int(order[position]))
