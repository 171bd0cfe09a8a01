"""DS-CNN: the keyword spotting network of MLPerf Tiny v1 (2.66 M MACs on 49x10x1).

Source: MLCommons tiny benchmark, keyword spotting reference, after Zhang et al., arXiv 1711.07128:
a 10x4 stem of stride 2, four depthwise separable blocks of 64 channels, average pool, one linear
layer. The reference pads the stem by 4 rows above and 5 below, this one by 5 and 5.
"""

from __future__ import annotations

from torch import Tensor, nn

from nestnet.models.mobilenetv1 import Separable

INPUT_SHAPE = (49, 10, 1)
"""Spectrogram the model was designed for: 49 windows of 10 mel-frequency coefficients."""

CLASSES = 12

_CHANNELS = 64
_BLOCKS = 4


class DsCnn(nn.Module):
    """Stem, four separable blocks, average pool, linear layer."""

    def __init__(self, channels: int, classes: int) -> None:
        """Build the network for inputs of ``channels`` channels."""
        super().__init__()
        self.stem = nn.Conv2d(channels, _CHANNELS, (10, 4), 2, padding=(5, 1), bias=False)
        self.stem_norm = nn.BatchNorm2d(_CHANNELS)
        self.relu = nn.ReLU()
        self.blocks = nn.Sequential(*(Separable(_CHANNELS, _CHANNELS, 1) for _ in range(_BLOCKS)))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(_CHANNELS, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, h, w) to logits (n, classes)."""
        x = self.blocks(self.relu(self.stem_norm(self.stem(x))))
        logits: Tensor = self.head(self.pool(x).flatten(1))
        return logits


def factory(input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Return an untrained DS-CNN for inputs of ``input_shape`` (h, w, c)."""
    return DsCnn(input_shape[2], classes)
