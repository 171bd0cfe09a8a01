"""What the detectors share: two scales, joined from coarse to fine, and a head for each.

An anchor-free one-stage detector: every cell of a scale gives a logit per class and the distances
from its middle to the four edges of a box, in cells. Sources: Tian et al., arXiv 1904.01355 (FCOS),
for cells without anchors; Lin et al., arXiv 1612.03144, for the way from coarse to fine.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

INPUT_SHAPE = (160, 160, 1)
CLASSES = 6

STRIDES = (8, 16)
"""Pixels of a cell."""

FIRST_LOGIT = -4.0
"""Bias of class scores: at first nearly every cell says nothing."""
FIRST_DISTANCE = 2.0
"""Bias of distances, in cells: at first every box overlaps what is near."""


def scaled(channels: int, width: float) -> int:
    """Return ``channels`` times ``width``, a multiple of 8 and at least 8."""
    return max(8, int(channels * width + 4) // 8 * 8)


def conv(
    in_channels: int, channels: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Return a convolution that keeps the size but for its stride, with batch norm and ReLU6."""
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU6(),
    )


def separable(in_channels: int, channels: int, stride: int = 1) -> nn.Sequential:
    """Return a depthwise 3x3 and a pointwise convolution."""
    return nn.Sequential(
        conv(in_channels, in_channels, 3, stride, groups=in_channels), conv(in_channels, channels)
    )


class Head(nn.Module):
    """One separable block, then a 1x1 convolution for classes and one for distances."""

    def __init__(self, in_channels: int, channels: int, classes: int) -> None:
        """Build the head of one scale."""
        super().__init__()
        self.block = separable(in_channels, channels)
        self.scores = nn.Conv2d(channels, classes, 1)
        self.boxes = nn.Conv2d(channels, 4, 1)
        nn.init.normal_(self.scores.weight, std=0.01)
        nn.init.constant_(self.scores.bias, FIRST_LOGIT)  # type: ignore[arg-type]
        nn.init.constant_(self.boxes.bias, FIRST_DISTANCE)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (n, c, h, w) to scores (n, classes, h, w) and distances (n, 4, h, w)."""
        x = self.block(x)
        return self.scores(x), self.boxes(x)


class Detector(nn.Module):
    """A backbone whose maps at strides 8 and 16 are joined, and a head on each."""

    def __init__(
        self,
        fine: nn.Module,
        coarse: nn.Module,
        channels: tuple[int, int],
        neck: int,
        classes: int,
    ) -> None:
        """Join a backbone's parts.

        Args:
            fine: from the image to the map at stride 8.
            coarse: from there to the map at stride 16.
            channels: of these two maps.
            neck: channels of what heads are fed.
            classes: number of classes.
        """
        super().__init__()
        self.fine = fine
        self.coarse = coarse
        self.fine_lateral = conv(channels[0], neck)
        self.coarse_lateral = conv(channels[1], neck)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.fine_head = Head(2 * neck, neck, classes)
        self.coarse_head = Head(neck, neck, classes)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map (n, c, h, w) to class scores and distances of both scales, the finer one first."""
        fine = self.fine(x)
        coarse = self.coarse_lateral(self.coarse(fine))
        joined = torch.cat([self.up(coarse), self.fine_lateral(fine)], 1)
        scores_8, boxes_8 = self.fine_head(joined)
        scores_16, boxes_16 = self.coarse_head(coarse)
        return {
            "scores_8": scores_8, "boxes_8": boxes_8, "scores_16": scores_16, "boxes_16": boxes_16,
        }  # fmt: skip
