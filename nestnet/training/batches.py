"""Batches of images: shuffled, cut for each process, augmented, as the network wants them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from codegen.errors import UserError
from codegen.graph.sources.quantizer import Int16Source
from nestnet.config import TrainConfig
from nestnet.datasets import Dataset, Split
from nestnet.pixels import DEFAULT, Pixels
from nestnet.samples import Seen
from nestnet.tasks import Task
from nestnet.tasks._sound import changed

MOVES = ("crop", "flip-crop", "flips")
"""Augmentations that are a task's, of images."""
FEW_STEPS = 8
"""Steps an epoch below which the batch size is spoken of."""

JITTER = 0.22
"""Of a gain, its logarithm: 0.8 to 1.25."""
NOISE = 0.02
"""Standard deviation of noise on x, which is in -2..2."""
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
        pixels: Seen = DEFAULT,
    ) -> None:
        """Move the split to ``device``; ``batch`` images of all ``world`` processes together."""
        self.pixels = pixels
        self.images = torch.from_numpy(split.images).to(device)
        self.sound = split.sound
        self._moved_in = pixels if isinstance(pixels, Pixels) else DEFAULT
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
            images = self.images[chosen]
            if augment == "sound":
                images = self._heard(chosen, generator)
            moved = augment if augment in MOVES else "none"
            pixels, targets = self.task.augment(
                images, self.targets[chosen], generator, moved, self._moved_in
            )
            x = self.pixels.to_float(pixels)
            if augment == "jitter":
                x = jittered(x, generator)
            part = slice(self.rank, None, self.world)
            yield x[part], targets[part]

    def _heard(self, chosen: Tensor, generator: torch.Generator) -> Tensor:
        """Return the features of recordings that are changed at random."""
        source, clips = self.pixels.source, self.sound
        assert isinstance(source, Int16Source) and source.spectrogram and clips is not None
        what = source.spectrogram
        clips = changed(clips[chosen.cpu().numpy()], generator, what)
        return torch.from_numpy(what.of_clips(clips)).to(self.images.device)

    def in_order(self, batch: int = 512) -> Iterator[Batch]:
        """Yield all images once, unchanged, in the split's order."""
        for first in range(0, len(self.images), batch):
            chosen = slice(first, first + batch)
            yield self.pixels.to_float(self.images[chosen]), self.targets[chosen]


def jittered(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return samples ``x`` (n, c, h, w), each window with another gain and noise."""
    gain = torch.exp(torch.empty(len(x), 1, 1, 1).uniform_(-JITTER, JITTER, generator=generator))
    noise = torch.randn(x.shape, generator=generator) * NOISE
    return x * gain.to(x.device) + noise.to(x.device)


def check_augment(augment: str, data: Dataset) -> None:
    """Refuse an augmentation that is for other data.

    Raises:
        UserError: it is.
    """
    has = {"pixels": data.train.images.dtype == np.uint8, "sound": data.spectrogram is not None}
    needs = {**dict.fromkeys(MOVES, "pixels"), "sound": "sound"}.get(augment, "samples")
    if augment != "none" and not has.get(needs, not has["pixels"]):
        raise UserError(
            "--augment",
            f"is for {needs}",
            got=augment,
            expected="none, or what the data set does by itself",
            action="Leave --augment out",
        )


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
