"""Move, scale and flip training images at random, and their boxes with them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from nestnet.pixels import Pixels

LARGER = (0.8, 1.3)
"""Least and largest factor of sizes."""
LONGER = 0.1
"""Share by which width and height may grow apart."""
SHIFT = 0.1
"""Share of the image's size by which it may move, beside the room that scaling makes."""
GAIN, OFFSET = 0.3, 0.15
"""Of contrast and of brightness, the latter as a share of all grey levels."""
LEFT = 0.3
"""Share of its area that a box must keep within the image, or it is dropped."""
UNUSED = -1.0


def moved(
    pixels: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    seen: Pixels,
    *,
    mirror: bool,
    turn: bool,
) -> tuple[Tensor, Tensor]:
    """Return a batch's images and boxes as one epoch sees them.

    Args:
        pixels: uint8 (n, h, w, c).
        targets: (n, boxes, 5): class, left, top, right, bottom in pixels; class -1 in unused rows,
            below it of boxes that need not be found.
        generator: source of the random numbers, on the CPU.
        seen: what moves in from outside is its zero.
        mirror: whether half of the images are mirrored.
        turn: whether half of them are also flipped upside down.
    """
    count, height, width, channels = pixels.shape
    zoom, shift = _drawn(count, generator, mirror=mirror, turn=turn)
    zoom, shift = zoom.to(pixels.device), shift.to(pixels.device)
    theta = torch.zeros(count, 2, 3, device=pixels.device)
    theta[:, 0, 0], theta[:, 1, 1] = zoom[:, 0], zoom[:, 1]
    theta[:, :, 2] = shift
    fill = torch.from_numpy(seen.fill(channels).copy()).to(pixels.device).float()
    images = (pixels.float() - fill).permute(0, 3, 1, 2)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    sampled = F.grid_sample(images, grid, align_corners=False).permute(0, 2, 3, 1)
    gain = 1 + GAIN * _around_zero((count, 1, 1, channels), generator).to(pixels.device)
    offset = 255 * OFFSET * _around_zero((count, 1, 1, channels), generator).to(pixels.device)
    lit = (sampled * gain + offset + fill).round().clamp(0, 255).to(torch.uint8)
    return lit, _boxes(targets, zoom, shift, (height, width))


def _around_zero(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return numbers from -1 to 1."""
    return 2 * torch.rand(shape, generator=generator) - 1


def _drawn(
    count: int, generator: torch.Generator, *, mirror: bool, turn: bool
) -> tuple[Tensor, Tensor]:
    """Return factors and offsets of x and y, each (n, 2), from a place in the new image to the
    one in the old image, both from -1 to 1."""
    size = LARGER[0] + (LARGER[1] - LARGER[0]) * torch.rand((count, 1), generator=generator)
    apart = 1 + LONGER * _around_zero((count, 1), generator)
    zoom = 1 / torch.cat([size * apart, size / apart], 1)
    shift = ((1 - zoom).abs() + SHIFT) * _around_zero((count, 2), generator)
    flips = torch.rand((count, 2), generator=generator) < 0.5
    flips &= torch.tensor([mirror, turn])
    return torch.where(flips, -zoom, zoom), shift


def _boxes(targets: Tensor, zoom: Tensor, shift: Tensor, size: tuple[int, int]) -> Tensor:
    """Return where ``targets`` are in the new images; boxes that are mostly gone are dropped."""
    height, width = size
    scale = torch.tensor([width, height] * 2, device=targets.device, dtype=targets.dtype)
    old = 2 * targets[..., 1:] / scale - 1
    new = (old - shift[:, None].repeat(1, 1, 2)) / zoom[:, None].repeat(1, 1, 2)
    new = (new + 1) / 2 * scale
    low = torch.minimum(new[..., :2], new[..., 2:])
    high = torch.maximum(new[..., :2], new[..., 2:])
    inside = torch.cat([low, high], -1).clamp(min=0).minimum(scale)
    area = (high - low).prod(-1)
    left = (inside[..., 2:] - inside[..., :2]).prod(-1)
    least = torch.where(targets[..., 0] < UNUSED, 0.0, LEFT)
    there = (targets[..., 0] != UNUSED) & (left > 0) & (left >= least * area)
    label = torch.where(there, targets[..., 0], UNUSED)
    return torch.cat([label[..., None], torch.where(there[..., None], inside, 0.0)], -1)
