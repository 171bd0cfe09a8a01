"""A detector on cross-stage partial blocks of 3x3 convolutions, as in YOLOv5.

Source: Wang et al., arXiv 1911.11929: one half of the channels goes through the blocks, the other
around them. Width and depth are multipliers, 0.25 and 0.33 by default: ``det_csp@0.5x0.67``. The
joint and the heads: ``_detector.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nestnet.models._detector import CLASSES as CLASSES
from nestnet.models._detector import INPUT_SHAPE as INPUT_SHAPE
from nestnet.models._detector import STRIDES, Detector, conv, scaled
from nestnet.models._sizes import check_sides

STAGES = ((128, 3), (256, 6), (512, 9))
"""Output channels at width 1, and blocks at depth 1, at strides 4, 8 and 16."""


class Bottleneck(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, channels: int, first_kernel: int) -> None:
        """Build the block; the second kernel is 3x3."""
        super().__init__()
        self.body = nn.Sequential(
            conv(channels, channels, first_kernel), conv(channels, channels, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, h, w) to the same shape."""
        y: Tensor = x + self.body(x)
        return y


class CrossStage(nn.Module):
    """Half of the channels through blocks, half around them, joined by a 1x1 convolution."""

    def __init__(self, channels: int, blocks: int) -> None:
        """Build the stage."""
        super().__init__()
        half = channels // 2
        self.through = nn.Sequential(
            conv(channels, half), *(Bottleneck(half, 1) for _ in range(blocks))
        )
        self.around = conv(channels, half)
        self.join = conv(2 * half, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, h, w) to the same shape."""
        y: Tensor = self.join(torch.cat([self.through(x), self.around(x)], 1))
        return y


def backbone(
    input_shape: tuple[int, int, int],
    classes: int,
    width: float,
    depth: float,
    stage: type[nn.Module],
) -> nn.Module:
    """Return an untrained detector of three stages, each after a 3x3 convolution of stride 2.

    Args:
        input_shape: height, width, channels.
        classes: number of classes.
        width: multiplier of channels.
        depth: multiplier of blocks.
        stage: built with channels and blocks.
    """
    check_sides(input_shape, STRIDES[-1])
    channels = scaled(64, width)
    parts: list[nn.Module] = [conv(input_shape[2], channels, 3, 2)]
    for out, blocks in STAGES:
        parts.append(conv(channels, scaled(out, width), 3, 2))
        channels = scaled(out, width)
        parts.append(stage(channels, max(1, round(blocks * depth))))
    maps = (scaled(STAGES[1][0], width), channels)
    fine, coarse = nn.Sequential(*parts[:-2]), nn.Sequential(*parts[-2:])
    return Detector(fine, coarse, maps, scaled(256, width), classes)


def factory(
    input_shape: tuple[int, int, int], classes: int, width: float = 0.25, depth: float = 0.33
) -> nn.Module:
    """Return an untrained detector for images of ``input_shape`` (h, w, c)."""
    return backbone(input_shape, classes, width, depth, CrossStage)
