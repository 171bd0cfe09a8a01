"""Top-1 accuracy of every level."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from nestnet.batches import Batches
from nestnet.precision import mixed_precision


@torch.no_grad()
def accuracy(network: nn.Module, batches: Batches, level: int, amp: bool = False) -> float:
    """Return the share of images whose largest logit is the label's, 0..1, at ``level``.

    The network is put into evaluation mode and left there.
    """
    network.eval()
    correct = torch.zeros((), dtype=torch.int64, device=batches.labels.device)
    for images, labels in batches.in_order():
        with mixed_precision(images.device, amp):
            logits = network(images, level)
        correct += (logits.argmax(dim=1) == labels).sum()
    return int(correct) / len(batches.labels)


def accuracies(
    network: nn.Module, batches: Batches, levels: Sequence[int], amp: bool = False
) -> list[float]:
    """Return :func:`accuracy` for each of ``levels``."""
    return [accuracy(network, batches, level, amp) for level in levels]
