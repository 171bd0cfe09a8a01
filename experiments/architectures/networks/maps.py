"""Networks whose output is a map or an image: segmentation, heat maps, restoration, keypoints."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from experiments.architectures.networks.blocks import Inverted, conv_bn

Up = Callable[[int, int], nn.Module]


def transposed(i: int, o: int) -> nn.Module:
    """Return a transposed convolution that doubles height and width."""
    return nn.ConvTranspose2d(i, o, 2, 2)


def nearest(i: int, o: int) -> nn.Module:
    """Return nearest-neighbour upsampling and a convolution."""
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(i, o, 1))


def bilinear(i: int, o: int) -> nn.Module:
    """Return bilinear upsampling and a convolution."""
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(i, o, 1))


class UNet(nn.Module):
    """Two steps down, two up; what goes down is joined on the way up."""

    def __init__(self, up: Up, classes: int = 4) -> None:
        super().__init__()
        self.d1, self.d2 = self._pair(3, 8), self._pair(8, 16)
        self.bottom = self._pair(16, 32)
        self.up2, self.u2 = up(32, 16), self._pair(32, 16)
        self.up1, self.u1 = up(16, 8), self._pair(16, 8)
        self.pool = nn.MaxPool2d(2)
        self.last = nn.Conv2d(8, classes, 1)

    @staticmethod
    def _pair(i: int, o: int) -> nn.Module:
        return nn.Sequential(conv_bn(i, o), conv_bn(o, o))

    def forward(self, x: Tensor) -> Tensor:
        a = self.d1(x)
        b = self.d2(self.pool(a))
        c = self.bottom(self.pool(b))
        c = self.u2(torch.cat([self.up2(c), b], 1))
        return self.last(self.u1(torch.cat([self.up1(c), a], 1)))


def fomo(classes: int = 3) -> nn.Module:
    """Return MobileNetV2's first blocks and a heat map of centres at an eighth of the size."""
    return nn.Sequential(
        conv_bn(3, 8, 3, 2, act=nn.ReLU6), Inverted(8, 8, 1, 1), Inverted(8, 16, 2, 6),
        Inverted(16, 16, 1, 6), Inverted(16, 16, 2, 6), nn.Conv2d(16, 32, 1), nn.ReLU(),
        nn.Conv2d(32, classes, 1),
    )  # fmt: skip


class DnCNN(nn.Module):
    """A denoiser that estimates the noise and takes it off its image."""

    def __init__(self) -> None:
        super().__init__()
        self.noise = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), conv_bn(8, 8),
                                   conv_bn(8, 8), nn.Conv2d(8, 1, 3, padding=1))  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x - self.noise(x)


def espcn(factor: int = 2) -> nn.Module:
    """Return ESPCN: super-resolution by convolutions and a pixel shuffle at the end."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.Tanh(), nn.Conv2d(16, 8, 3, padding=1), nn.Tanh(),
        nn.Conv2d(8, factor * factor, 3, padding=1), nn.PixelShuffle(factor),
    )  # fmt: skip


def autoencoder() -> nn.Module:
    """Return a convolutional autoencoder; how badly it restores an image tells an anomaly."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(16, 8, 3, 2, 1, output_padding=1), nn.ReLU(),
        nn.ConvTranspose2d(8, 1, 3, 2, 1, output_padding=1), nn.Sigmoid(),
    )  # fmt: skip


def keypoints(count: int = 4) -> nn.Module:
    """Return a regression of ``count`` points in 0..1."""
    return nn.Sequential(
        conv_bn(1, 16, 3, 2), conv_bn(16, 16, 3, 2), nn.Flatten(),
        nn.Linear(16 * 8 * 8, 2 * count), nn.Sigmoid(),
    )  # fmt: skip
