"""Losses of all levels together: the densest teaches the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from nestnet.config import TrainConfig

Hard = Callable[[Tensor], Tensor]
"""Outputs of a level -> its loss against the targets."""
Soft = Callable[[Tensor, Tensor, float], Tensor]
"""Outputs of a level, those of its teacher, temperature -> its distance from the teacher."""


def of_levels(outputs: Sequence[Tensor], hard: Hard, soft: Soft, config: TrainConfig) -> Tensor:
    """Return the levels' summed loss; a sparser one's is mixed with its distance from the densest.

    Args:
        outputs: of each level, the densest level's first.
        hard: the loss of a level.
        soft: what a level loses where it differs from the densest one; no gradient flows to that.
        config: the share of the distance, and its temperature.
    """
    teacher = outputs[0].detach().float()
    total = hard(outputs[0].float())
    for own in outputs[1:]:
        distance = soft(own.float(), teacher, config.distill_temperature)
        share = config.distill_weight
        total = total + (1.0 - share) * hard(own.float()) + share * distance
    return total


def sigmoid_distance(own: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the mean divergence of the probabilities of every logit, times temperature^2."""
    truth = torch.sigmoid(teacher / temperature)
    crossed = F.binary_cross_entropy_with_logits(own / temperature, truth)
    least = F.binary_cross_entropy_with_logits(teacher / temperature, truth)
    return (crossed - least) * temperature**2


def softmax_distance(own: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the mean divergence of the class probabilities of every position, times
    temperature^2; classes are dimension 1."""
    soft = F.log_softmax(teacher / temperature, dim=1)
    log = F.log_softmax(own / temperature, dim=1)
    divergence = F.kl_div(log, soft, reduction="none", log_target=True).sum(dim=1).mean()
    return divergence * temperature**2


def plain_distance(own: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the mean smooth difference of numbers, whatever the temperature."""
    return F.smooth_l1_loss(own, teacher)
