"""Batches of images: shuffled, cut for each process, augmented, as the network wants them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from nestnet.datasets import Split

Batch = tuple[Tensor, Tensor]
"""Images (n, c, h, w) float32 and labels (n,)."""


def to_input(pixels: Tensor) -> Tensor:
    """Return the network's float input for uint8 ``pixels`` (n, h, w, c): (pixel - 128) / 64, NCHW.

    The result is in channels-last memory format, as the pixels are.
    """
    return ((pixels.float() - 128.0) / 64.0).permute(0, 3, 1, 2)


def crop_and_flip(pixels: Tensor, generator: torch.Generator, *, flip: bool) -> Tensor:
    """Shift each image by up to an eighth of its size and mirror half of them if ``flip``.

    Args:
        pixels: uint8 (n, h, w, c); what moves in from outside is 128, the float zero.
        generator: source of the random numbers, on the CPU.
    """
    count, height, width, _ = pixels.shape
    reach_h, reach_w = max(1, height // 8), max(1, width // 8)
    padded = pixels.new_full(
        (count, height + 2 * reach_h, width + 2 * reach_w, pixels.shape[3]), 128
    )
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
        self, split: Split, device: torch.device, batch: int, rank: int = 0, world: int = 1
    ) -> None:
        """Move the split to ``device``; ``batch`` images of all ``world`` processes together."""
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
                pixels = crop_and_flip(pixels, generator, flip=augment == "flip-crop")
            part = slice(self.rank, None, self.world)
            yield to_input(pixels[part]), self.labels[chosen[part]]

    def in_order(self, batch: int = 512) -> Iterator[Batch]:
        """Yield all images once, unchanged, in the split's order."""
        for first in range(0, len(self.labels), batch):
            chosen = slice(first, first + batch)
            yield to_input(self.images[chosen]), self.labels[chosen]
