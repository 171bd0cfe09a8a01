"""Batches of images: shuffled, cut for each process, augmented, as the network wants them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from nestnet.config import TrainConfig
from nestnet.datasets import Split
from nestnet.pixels import DEFAULT, Pixels

FEW_STEPS = 8
"""Steps an epoch below which the batch size is spoken of."""

LEAST_BATCH = 4
"""Smallest batch size suggested: batch norms need some images."""

Batch = tuple[Tensor, Tensor]
"""Images (n, c, h, w) float32 and labels (n,)."""


def crop_and_flip(
    pixels: Tensor, generator: torch.Generator, *, flip: bool, seen: Pixels = DEFAULT
) -> Tensor:
    """Shift each image by up to an eighth of its size and mirror half of them if ``flip``.

    Args:
        pixels: uint8 (n, h, w, c).
        generator: source of the random numbers, on the CPU.
        flip: whether to mirror.
        seen: what the network sees of a pixel; what moves in from outside is its zero.
    """
    count, height, width, _ = pixels.shape
    reach_h, reach_w = max(1, height // 8), max(1, width // 8)
    shape = (count, height + 2 * reach_h, width + 2 * reach_w, pixels.shape[3])
    outside = torch.from_numpy(seen.fill(pixels.shape[3]).copy()).to(pixels.device)
    padded = outside.expand(shape).clone()
    padded[:, reach_h : reach_h + height, reach_w : reach_w + width] = pixels
    top = torch.randint(0, 2 * reach_h + 1, (count, 1), generator=generator)
    left = torch.randint(0, 2 * reach_w + 1, (count, 1), generator=generator)
    rows = top + torch.arange(height)
    columns = left + torch.arange(width)
    if flip:
        mirrored = torch.rand((count, 1), generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    image = torch.arange(count)[:, None, None]
    device = pixels.device
    return padded[image.to(device), rows[:, :, None].to(device), columns[:, None, :].to(device)]


class Batches:
    """One split of a data set, on the device, as a source of batches."""

    def __init__(
        self,
        split: Split,
        device: torch.device,
        batch: int,
        rank: int = 0,
        world: int = 1,
        pixels: Pixels = DEFAULT,
    ) -> None:
        """Move the split to ``device``; ``batch`` images of all ``world`` processes together."""
        self.pixels = pixels
        self.images = torch.from_numpy(split.images).to(device)
        self.labels = torch.from_numpy(split.labels).to(device)
        self.batch = min(batch, len(split.labels) // world * world)
        self.rank = rank
        self.world = world

    @property
    def steps(self) -> int:
        """Training steps of an epoch; an incomplete last batch is left out."""
        return len(self.labels) // self.batch

    def epoch(self, seed: int, epoch: int, augment: str) -> Iterator[Batch]:
        """Yield an epoch's shuffled and augmented batches; they depend on (seed, epoch) only."""
        generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
        order = torch.randperm(len(self.labels), generator=generator).to(self.labels.device)
        for step in range(self.steps):
            # All processes draw the numbers of the whole batch, so their streams stay equal.
            chosen = order[step * self.batch : (step + 1) * self.batch]
            pixels = self.images[chosen]
            if augment != "none":
                pixels = crop_and_flip(
                    pixels, generator, flip=augment == "flip-crop", seen=self.pixels
                )
            part = slice(self.rank, None, self.world)
            yield self.pixels.to_float(pixels[part]), self.labels[chosen[part]]

    def in_order(self, batch: int = 512) -> Iterator[Batch]:
        """Yield all images once, unchanged, in the split's order."""
        for first in range(0, len(self.labels), batch):
            chosen = slice(first, first + batch)
            yield self.pixels.to_float(self.images[chosen]), self.labels[chosen]


def few_steps(train: Batches, config: TrainConfig) -> tuple[str, ...]:
    """Return what to say where there are few training images for the batch size."""
    count = len(train.labels)
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
