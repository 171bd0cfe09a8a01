"""Change training images at random so that what they show stays the same.

What lies at positions, a mask, is moved with its image: as one channel more.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nestnet.pixels import DEFAULT, Pixels

_GAIN, _OFFSET = 0.3, 0.15 * 255
"""Most that contrast (as a share) and brightness (in pixels) change, up and down."""


def augmented(
    pixels: Tensor,
    generator: torch.Generator,
    how: str,
    seen: Pixels = DEFAULT,
    mask: Tensor | None = None,
    outside: int = 255,
) -> tuple[Tensor, Tensor | None]:
    """Return images, and a mask for each, as one epoch sees them.

    Args:
        pixels: uint8 (n, h, w, c).
        generator: source of the random numbers, on the CPU.
        how: "none"; "crop", shifted; "flip-crop", also mirrored; "flips", mirrored up and down,
            left and right, and transposed where h is w, in other light.
        seen: what the network sees of a pixel; what moves in from outside is its zero.
        mask: uint8 (n, h, w), moved alike.
        outside: what moves in at the borders of the mask.
    """
    if how == "none":
        return pixels, mask
    channels = pixels.shape[3]
    fill = torch.from_numpy(seen.fill(channels).copy())
    layers = pixels
    if mask is not None:
        layers = torch.cat([pixels, mask[..., None]], dim=3)
        fill = torch.cat([fill, torch.tensor([outside], dtype=torch.uint8)])
    if how == "flips":
        layers = _turned(layers, generator)
    else:
        layers = _shifted(layers, generator, flip=how == "flip-crop", fill=fill.to(pixels.device))
    images = layers[..., :channels]
    if how == "flips":
        images = lit(images, generator)
    return images, None if mask is None else layers[..., channels]


def _shifted(pixels: Tensor, generator: torch.Generator, *, flip: bool, fill: Tensor) -> Tensor:
    """Shift each image by up to an eighth of its size and mirror half of them if ``flip``.

    ``fill`` (c,) is what moves in from outside.
    """
    count, height, width, _ = pixels.shape
    reach_h, reach_w = max(1, height // 8), max(1, width // 8)
    shape = (count, height + 2 * reach_h, width + 2 * reach_w, pixels.shape[3])
    padded = fill.expand(shape).clone()
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


def _turned(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the images along each axis, and transpose half of them if they are square."""
    drawn = (torch.rand((3, len(pixels)), generator=generator) < 0.5).to(pixels.device)
    for chosen, axis in zip(drawn, (1, 2), strict=False):
        pixels = torch.where(chosen[:, None, None, None], pixels.flip(axis), pixels)
    if pixels.shape[1] == pixels.shape[2]:
        pixels = torch.where(drawn[2][:, None, None, None], pixels.transpose(1, 2), pixels)
    return pixels


def lit(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Change contrast and brightness of each image."""
    draw = (torch.rand((2, len(pixels), 1, 1, 1), generator=generator) * 2 - 1).to(pixels.device)
    middle = pixels.float().mean(dim=(1, 2, 3), keepdim=True)
    changed = (pixels - middle) * (1 + _GAIN * draw[0]) + middle + _OFFSET * draw[1]
    return changed.round_().clamp_(0, 255).to(torch.uint8)
