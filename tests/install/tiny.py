"""The network of run/: a few layers of each kind, so that its file takes a few kB.

Made with:
    nestnet train --model tests/install/tiny.py:tiny --levels 2 --epochs 12 --name run --out X
X/run/config.toml is config.toml; X/run/model.nestnet is model.nestnet.base64.
"""

from __future__ import annotations

from torch import Tensor, nn


class Tiny(nn.Module):
    """A convolution, a depthwise one, a residual sum, a linear layer."""

    def __init__(self, channels: int, classes: int) -> None:
        """Make the layers."""
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU()
        )
        self.depthwise = nn.Sequential(
            nn.Conv2d(12, 12, 3, padding=1, groups=12, bias=False), nn.BatchNorm2d(12), nn.ReLU()
        )
        self.pointwise = nn.Sequential(nn.Conv2d(12, 12, 1, bias=False), nn.BatchNorm2d(12))
        self.head = nn.Sequential(nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(48, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        x = self.stem(x)
        return self.head(x + self.pointwise(self.depthwise(x)))


def tiny(input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Return the network for maps of height and width 8."""
    return Tiny(input_shape[2], classes)
