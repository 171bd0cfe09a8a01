"""Change training images at random so that what they show stays the same."""

from __future__ import annotations

import torch
from torch import Tensor

from nestnet.pixels import DEFAULT, Pixels


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
