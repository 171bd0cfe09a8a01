"""ResNet8: the image classification network of MLPerf Tiny v1 (12.5 M MACs on 32x32x3).

Source: MLCommons tiny benchmark, image classification reference: a 3x3 stem and three stacks of one
basic block with 16, 32 and 64 channels, 1x1 strided shortcuts, average pool, one linear layer.
"""

from __future__ import annotations

from torch import Tensor, nn

INPUT_SHAPE = (32, 32, 3)
CLASSES = 10


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        """Build the block; ``stride`` is the first convolution's and the shortcut's."""
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Conv2d(in_channels, channels, 1, stride)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, h, w) to (n, channels, h / stride, w / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        summed: Tensor = self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))
        return summed


class ResNet8(nn.Module):
    """Stem, three blocks, average pool and a linear layer."""

    def __init__(self, channels: int, classes: int) -> None:
        """Build the network for images of ``channels`` channels."""
        super().__init__()
        self.stem = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.stack1 = Block(16, 16, 1)
        self.stack2 = Block(16, 32, 2)
        self.stack3 = Block(32, 64, 2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, h, w) to logits (n, classes)."""
        x = self.relu(self.stem_norm(self.stem(x)))
        x = self.stack3(self.stack2(self.stack1(x)))
        logits: Tensor = self.head(self.pool(x).flatten(1))
        return logits


def factory(input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Return an untrained ResNet8 for images of ``input_shape`` (h, w, c)."""
    return ResNet8(input_shape[2], classes)
