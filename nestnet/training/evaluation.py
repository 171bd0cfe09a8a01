"""How good every level's answers to a split of the data are, by the measure of the task."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nestnet.net.network import NestedNet
from nestnet.tasks import Answers
from nestnet.training.batches import Batches
from nestnet.training.device import mixed_precision


@torch.no_grad()
def answers(network: NestedNet, batches: Batches, level: int, amp: bool = False) -> Answers:
    """Return the task's answer to every image at ``level``, one entry each, in the split's order.

    The network is put into evaluation mode and left there.
    """
    network.eval()
    found = []
    for images, _ in batches.in_order():
        with mixed_precision(images.device, amp):
            found.append(batches.task.answers(network.logits(images, level), images))
    tensors = [each for each in found if isinstance(each, Tensor)]
    return torch.cat(tensors) if tensors else [answer for each in found for answer in each]


def score(network: NestedNet, batches: Batches, level: int, amp: bool = False) -> float:
    """Return the task's score of ``level``, 0..1."""
    return batches.task.score(answers(network, batches, level, amp), batches.targets)


def scores(
    network: NestedNet, batches: Batches, levels: Sequence[int], amp: bool = False
) -> list[float]:
    """Return :func:`score` for each of ``levels``."""
    return [score(network, batches, level, amp) for level in levels]
