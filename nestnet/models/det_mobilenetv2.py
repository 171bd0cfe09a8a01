"""A detector on MobileNetV2's inverted residuals up to stride 16.

Blocks: Sandler et al., arXiv 1801.04381, table 2, without the last two stages. The joint and the
heads: ``_detector.py``. Its width is 0.35; for others: ``det_mobilenetv2@0.5``.
"""

from __future__ import annotations

from torch import Tensor, nn

from nestnet.models._detector import CLASSES as CLASSES
from nestnet.models._detector import INPUT_SHAPE as INPUT_SHAPE
from nestnet.models._detector import STRIDES, Detector, conv, scaled
from nestnet.models._sizes import check_sides

_FINE = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2))
_COARSE = ((6, 64, 4, 2), (6, 96, 3, 1))
"""Expansion, output channels at width 1, repetitions, and stride of the first of them."""


class Inverted(nn.Module):
    """Widen by a 1x1 convolution, filter each channel, narrow again; a shortcut where it fits."""

    def __init__(self, in_channels: int, channels: int, stride: int, expansion: int) -> None:
        """Build the block."""
        super().__init__()
        inner = in_channels * expansion
        parts: list[nn.Module] = [conv(in_channels, inner)] if expansion > 1 else []
        parts += [conv(inner, inner, 3, stride, groups=inner)]
        parts += [nn.Conv2d(inner, channels, 1, bias=False), nn.BatchNorm2d(channels)]
        self.body = nn.Sequential(*parts)
        self.is_residual = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, h, w) to (n, channels, h / stride, w / stride)."""
        y: Tensor = self.body(x)
        return x + y if self.is_residual else y


def factory(input_shape: tuple[int, int, int], classes: int, width: float = 0.35) -> nn.Module:
    """Return an untrained detector for images of ``input_shape`` (h, w, c)."""
    check_sides(input_shape, STRIDES[-1])
    channels = scaled(32, width)
    fine: list[nn.Module] = [conv(input_shape[2], channels, 3, 2)]
    coarse: list[nn.Module] = []
    for stages, into in ((_FINE, fine), (_COARSE, coarse)):
        for expansion, out, count, first in stages:
            for index in range(count):
                stride = first if index == 0 else 1
                into.append(Inverted(channels, scaled(out, width), stride, expansion))
                channels = scaled(out, width)
    maps = (scaled(_FINE[-1][1], width), channels)
    neck = scaled(128, width)
    return Detector(nn.Sequential(*fine), nn.Sequential(*coarse), maps, neck, classes)
