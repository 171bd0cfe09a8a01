"""A class map of an eighth of the size, for centres of objects: depthwise separable, ReLU6.

The idea of such maps instead of boxes is that of Edge Impulse's FOMO; the body that of MobileNetV1
(Howard et al., arXiv 1704.04861).
"""

from __future__ import annotations

from torch import Tensor, nn

INPUT_SHAPE = (96, 96, 1)
CLASSES = 2
_BLOCKS = ((16, 2), (24, 1), (32, 2), (48, 1), (48, 1))
"""Width and stride of each separable block behind a stem of stride 2."""
STEM = 12


class Fomo(nn.Module):
    """Maps of an eighth of the input's height and width, which have to be multiples of 8."""

    def __init__(self, channels: int, classes: int) -> None:
        """Build the network; channel 0 of its map is the background."""
        super().__init__()
        self.stem = _conv(channels, STEM, 3, 2)
        blocks: list[nn.Module] = []
        before = STEM
        for width, stride in _BLOCKS:
            blocks += [_conv(before, before, 3, stride, before), _conv(before, width, 1, 1)]
            before = width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Conv2d(before, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, h, w) to logits (n, classes, h / 8, w / 8)."""
        logits: Tensor = self.head(self.blocks(self.stem(x)))
        return logits


def _conv(channels: int, width: int, kernel: int, stride: int, groups: int = 1) -> nn.Module:
    conv = nn.Conv2d(
        channels, width, kernel, stride, padding=kernel // 2, groups=groups, bias=False
    )
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU6())


def factory(input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Return an untrained network for images of ``input_shape`` (h, w, c)."""
    return Fomo(input_shape[2], classes)
