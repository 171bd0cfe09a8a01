"""What a training step minimises: which levels run, their losses, and whose gradient goes where.

Gradient routing decides which weights a level's loss may change:

- ``shared``: all weights the level contains;
- ``shell``: only the weights the level adds to the next sparser one;
- ``mixed``: all it contains, but half as strongly for each level further in, so the weights that
  every level shares mostly serve the sparse levels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor
from torch.nn import functional as F


def levels_of_step(levels: int, step: int, seed: int) -> tuple[int, ...]:
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


def densest_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the densest level's loss: cross-entropy. logits (n, classes), labels (n,)."""
    return F.cross_entropy(logits.float(), labels)


def sparser_loss(
    logits: Tensor, teacher: Tensor, labels: Tensor, weight: float, temperature: float
) -> Tensor:
    """Return a sparser level's loss: cross-entropy mixed with distillation.

    ``(1 - weight) * CE(logits, labels) + weight * T^2 * KL(teacher / T || logits / T)``. Source:
    Hinton et al., arXiv 1503.02531; in place as in Yu and Huang, arXiv 1903.05134.

    Args:
        logits: this level's outputs, (n, classes).
        teacher: the densest level's outputs in the same step, (n, classes); no gradient flows.
        labels: (n,).
        weight: share of the distillation, 0..1.
        temperature: T.
    """
    logits = logits.float()
    soft = F.log_softmax(teacher.detach().float() / temperature, dim=1)
    own = F.log_softmax(logits / temperature, dim=1)
    distance = F.kl_div(own, soft, reduction="batchmean", log_target=True)
    hard = F.cross_entropy(logits, labels)
    return (1.0 - weight) * hard + weight * temperature**2 * distance


def training_loss(
    logits: Callable[[Tensor, int], Tensor],
    images: Tensor,
    labels: Tensor,
    active: tuple[int, ...],
    weight: float,
    temperature: float,
) -> Tensor:
    """Return the summed loss of the ``active`` levels (densest first) on one batch.

    Args:
        logits: of the network, called with images and level.
        images: (n, c, h, w).
        labels: (n,).
        active: the levels to run.
        weight: share of the distillation in a sparser level's loss.
        temperature: of the distillation.
    """
    teacher = logits(images, active[0])
    total = densest_loss(teacher, labels)
    for level in active[1:]:
        own = logits(images, level)
        total = total + sparser_loss(own, teacher, labels, weight, temperature)
    return total
