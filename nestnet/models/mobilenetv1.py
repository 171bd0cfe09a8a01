"""MobileNetV1 with a CIFAR stem: stride 1 for inputs up to 64 pixels (46 M MACs on 32x32x3).

Source: Howard et al., arXiv 1704.04861, table 1; depthwise 3x3 and pointwise 1x1 convolutions, each
with batch norm and ReLU. The width multiplier scales all channel counts, rounded to multiples of 8.
Name it with the model: ``mobilenetv1@0.25``.
"""

from __future__ import annotations

from torch import Tensor, nn

INPUT_SHAPE = (32, 32, 3)
CLASSES = 10

_BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip
"""Output channels at width 1 and stride of every depthwise-pointwise pair."""

_LARGE_INPUT_PIXELS = 64
"""Inputs higher or wider than this get a stem of stride 2, as in the paper."""


class Separable(nn.Module):
    """Depthwise 3x3 and pointwise 1x1 convolution, each with batch norm and ReLU."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        """Build the pair; ``stride`` is the depthwise convolution's."""
        super().__init__()
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, 3, stride, padding=1, groups=in_channels, bias=False
        )
        self.depthwise_norm = nn.BatchNorm2d(in_channels)
        self.pointwise = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.pointwise_norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, h, w) to (n, channels, h / stride, w / stride)."""
        x = self.relu(self.depthwise_norm(self.depthwise(x)))
        y: Tensor = self.relu(self.pointwise_norm(self.pointwise(x)))
        return y


class MobileNetV1(nn.Module):
    """Stem, 13 separable pairs, average pool, linear layer."""

    def __init__(self, channels: int, classes: int, width: float, stem_stride: int) -> None:
        """Build the network for images of ``channels`` channels."""
        super().__init__()
        in_channels = _scaled(32, width)
        self.stem = nn.Conv2d(channels, in_channels, 3, stem_stride, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU()
        blocks: list[nn.Module] = []
        for out_channels, stride in _BLOCKS:
            blocks.append(Separable(in_channels, _scaled(out_channels, width), stride))
            in_channels = _scaled(out_channels, width)
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(in_channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, h, w) to logits (n, classes)."""
        x = self.blocks(self.relu(self.stem_norm(self.stem(x))))
        logits: Tensor = self.head(self.pool(x).flatten(1))
        return logits


def _scaled(channels: int, width: float) -> int:
    return max(8, int(channels * width + 4) // 8 * 8)


def factory(input_shape: tuple[int, int, int], classes: int, width: float = 1.0) -> nn.Module:
    """Return an untrained MobileNetV1 of ``width`` for images of ``input_shape`` (h, w, c)."""
    stem_stride = 2 if max(input_shape[:2]) > _LARGE_INPUT_PIXELS else 1
    return MobileNetV1(input_shape[2], classes, width, stem_stride)
