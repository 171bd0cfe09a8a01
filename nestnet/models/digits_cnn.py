"""A small residual network for the embedded handwritten digits (8x8x1); the default model."""

from __future__ import annotations

from torch import Tensor, nn

INPUT_SHAPE = (8, 8, 1)
CLASSES = 10


class DigitsCnn(nn.Module):
    """Three 3x3 convolutions, the last with a shortcut, then a linear layer."""

    def __init__(self, channels: int, classes: int) -> None:
        """Build the network for images of ``channels`` channels."""
        super().__init__()
        self.stem = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(16)
        self.down = nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False)
        self.down_norm = nn.BatchNorm2d(32)
        self.mix1 = nn.Conv2d(32, 32, 3, padding=1, bias=False)
        self.mix1_norm = nn.BatchNorm2d(32)
        self.mix2 = nn.Conv2d(32, 32, 3, padding=1, bias=False)
        self.mix2_norm = nn.BatchNorm2d(32)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, h, w) to logits (n, classes)."""
        x = self.relu(self.stem_norm(self.stem(x)))
        x = self.relu(self.down_norm(self.down(x)))
        y = self.relu(self.mix1_norm(self.mix1(x)))
        x = self.relu(self.mix2_norm(self.mix2(y)) + x)
        logits: Tensor = self.head(self.pool(x).flatten(1))
        return logits


def factory(input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Return an untrained network for images of ``input_shape`` (h, w, c)."""
    return DigitsCnn(input_shape[2], classes)
