"""A small U-Net: a class for every position; widths 8-16-32-32, nearest upsampling.

After Ronneberger et al., arXiv 1505.04597: an encoder of two 3x3 convolutions per stage and max
pooling, a decoder that doubles the size, appends the encoder's map of that size and convolves once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nestnet.models._sizes import check_sides

INPUT_SHAPE = (64, 64, 1)
CLASSES = 1
WIDTHS = (8, 16, 32, 32)
"""Of the stages; the last one is the bottom."""


def _conv(channels: int, width: int) -> list[nn.Module]:
    conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(width), nn.ReLU()]


class UnetSmall(nn.Module):
    """Maps as large as the input; height and width have to be multiples of 8."""

    def __init__(self, channels: int, classes: int) -> None:
        """Build the network for images of ``channels`` channels."""
        super().__init__()
        before = (channels, *WIDTHS)
        self.down = nn.ModuleList(
            nn.Sequential(*_conv(before[stage], width), *_conv(width, width))
            for stage, width in enumerate(WIDTHS)
        )
        self.pool = nn.MaxPool2d(2)
        upper = WIDTHS[-2::-1]
        below = (WIDTHS[-1], *upper)
        self.up = nn.ModuleList(
            nn.Sequential(*_conv(below[stage] + width, width)) for stage, width in enumerate(upper)
        )
        self.head = nn.Conv2d(WIDTHS[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, h, w) to logits (n, classes, h, w)."""
        kept: list[Tensor] = []
        for index, stage in enumerate(self.down):
            x = stage(self.pool(x) if index else x)
            kept.append(x)
        for stage, beside in zip(self.up, kept[-2::-1], strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = stage(torch.cat([x, beside], 1))
        logits: Tensor = self.head(x)
        return logits


def factory(input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Return an untrained network for images of ``input_shape`` (h, w, c).

    Raises:
        ValueError: a side that is no multiple of 8.
    """
    check_sides(input_shape, 8)
    return UnetSmall(input_shape[2], classes)
