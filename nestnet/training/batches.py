"""Batches of images: shuffled, cut for each process, augmented, as the network wants them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from nestnet.config import TrainConfig
from nestnet.datasets import Split
from nestnet.pixels import DEFAULT, Pixels
from nestnet.tasks import Task

FEW_STEPS = 8
"""Steps an epoch below which the batch size is spoken of."""

LEAST_BATCH = 4
"""Smallest batch size suggested: batch norms need some images."""

Batch = tuple[Tensor, Tensor]
"""Images (n, c, h, w) float32 and the task's targets (n, ...)."""


class Batches:
    """One split of a data set, on the device, as a source of batches."""

    def __init__(
        self,
        split: Split,
        task: Task,
        device: torch.device,
        batch: int,
        rank: int = 0,
        world: int = 1,
        pixels: Pixels = DEFAULT,
    ) -> None:
        """Move the split to ``device``; ``batch`` images of all ``world`` processes together."""
        self.pixels = pixels
        self.images = torch.from_numpy(split.images).to(device)
        self.task = task
        self.targets = task.targets(split).to(device)
        self.batch = min(batch, len(split.images) // world * world)
        self.rank = rank
        self.world = world

    @property
    def steps(self) -> int:
        """Training steps of an epoch; an incomplete last batch is left out."""
        return len(self.images) // self.batch

    def epoch(self, seed: int, epoch: int, augment: str) -> Iterator[Batch]:
        """Yield an epoch's shuffled and augmented batches; they depend on (seed, epoch) only."""
        generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
        order = torch.randperm(len(self.images), generator=generator).to(self.images.device)
        for step in range(self.steps):
            # All processes draw the numbers of the whole batch, so their streams stay equal.
            chosen = order[step * self.batch : (step + 1) * self.batch]
            pixels, targets = self.task.augment(
                self.images[chosen], self.targets[chosen], generator, augment, self.pixels
            )
            part = slice(self.rank, None, self.world)
            yield self.pixels.to_float(pixels[part]), targets[part]

    def in_order(self, batch: int = 512) -> Iterator[Batch]:
        """Yield all images once, unchanged, in the split's order."""
        for first in range(0, len(self.images), batch):
            chosen = slice(first, first + batch)
            yield self.pixels.to_float(self.images[chosen]), self.targets[chosen]


def few_steps(train: Batches, config: TrainConfig) -> tuple[str, ...]:
    """Return what to say where there are few training images for the batch size."""
    count = len(train.images)
    if train.steps >= FEW_STEPS:
        return ()
    cut = f", cut from {config.batch}," if train.batch < config.batch else ""
    said = (
        f"{count} training images at batch {train.batch}{cut} make {train.steps} "
        f"step{'s' * (train.steps > 1)} an epoch, {train.steps * config.epochs} in all"
    )
    better = max(LEAST_BATCH, 2 ** (max(1, count // FEW_STEPS).bit_length() - 1))
    if better < train.batch:
        said += f": --batch {better}, or more --epochs, trains longer"
    return (said,)
