"""Classification: one label per image, the class of the largest output."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from nestnet.config import TrainConfig


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


def training_loss(outputs: Sequence[Tensor], labels: Tensor, config: TrainConfig) -> Tensor:
    """Return the summed loss of some levels on one batch.

    Args:
        outputs: logits of each level, (n, classes), the densest level's first: it is the teacher.
        labels: (n,).
        config: says how strongly sparser levels follow the densest.
    """
    teacher = outputs[0]
    total = densest_loss(teacher, labels)
    for own in outputs[1:]:
        total = total + sparser_loss(
            own, teacher, labels, config.distill_weight, config.distill_temperature
        )
    return total
