"""Top-1 accuracy of every level, and what each class is taken for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nestnet.net.network import NestedNet
from nestnet.training.batches import Batches
from nestnet.training.device import mixed_precision


@torch.no_grad()
def accuracy(network: NestedNet, batches: Batches, level: int, amp: bool = False) -> float:
    """Return the share of images whose largest logit is the label's, 0..1, at ``level``.

    The network is put into evaluation mode and left there.
    """
    return int((_answers(network, batches, level, amp) == batches.labels).sum()) / len(
        batches.labels
    )


def _answers(network: NestedNet, batches: Batches, level: int, amp: bool) -> Tensor:
    """Return the class of the largest logit of every image, shape (n,), in the split's order."""
    network.eval()
    found = []
    for images, _ in batches.in_order():
        with mixed_precision(images.device, amp):
            found.append(network.logits(images, level).argmax(dim=1))
    return torch.cat(found)


@torch.no_grad()
def confusion(
    network: NestedNet, batches: Batches, level: int, classes: int
) -> tuple[tuple[int, ...], ...]:
    """Return how many images of each class (row) are taken for each (column) at ``level``."""
    answers = _answers(network, batches, level, False)
    counts = torch.bincount(batches.labels * classes + answers, minlength=classes * classes)
    return tuple(tuple(row) for row in counts.reshape(classes, classes).tolist())


def accuracies(
    network: NestedNet, batches: Batches, levels: Sequence[int], amp: bool = False
) -> list[float]:
    """Return :func:`accuracy` for each of ``levels``."""
    return [accuracy(network, batches, level, amp) for level in levels]
