"""Classifiers of images, written from their publications: widths are those of a microcontroller."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.architectures.networks.blocks import Activation, Inverted, conv_bn, pooled


class Fire(nn.Module):
    """SqueezeNet's module: a 1x1 squeeze, then 1x1 and 3x3 convolutions side by side."""

    def __init__(self, i: int, squeeze: int, each: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(i, squeeze, 1)
        self.small = nn.Conv2d(squeeze, each, 1)
        self.large = nn.Conv2d(squeeze, each, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.small(x)), F.relu(self.large(x))], 1)


def squeezenet(classes: int = 10) -> nn.Module:
    """Return SqueezeNet 1.1, whose classifier is a 1x1 convolution."""

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    return nn.Sequential(
        nn.Conv2d(3, 64, 3, 2), nn.ReLU(inplace=True), pool(),
        Fire(64, 16, 64), Fire(128, 16, 64), pool(),
        Fire(128, 32, 128), Fire(256, 32, 128), pool(),
        Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
        nn.Dropout(0.5), nn.Conv2d(512, classes, 1), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


def shuffled(x: Tensor, groups: int) -> Tensor:
    """Return the channels of ``x`` dealt out: the first of every group, then the second."""
    n, c, h, w = x.shape
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


class ShuffleUnit(nn.Module):
    """ShuffleNetV2's unit: half of the channels pass, or both halves are strided."""

    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        half = o // 2
        self.splits = stride == 1
        self.side: nn.Module = nn.Identity()
        if not self.splits:
            self.side = nn.Sequential(
                conv_bn(i, i, 3, stride, groups=i, act=None), conv_bn(i, half, 1)
            )
        start = half if self.splits else i
        self.main = nn.Sequential(
            conv_bn(start, half, 1),
            conv_bn(half, half, 3, stride, groups=half, act=None),
            conv_bn(half, half, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.splits:
            kept, changed = x.chunk(2, dim=1)
            return shuffled(torch.cat((kept, self.main(changed)), 1), 2)
        return shuffled(torch.cat((self.side(x), self.main(x)), 1), 2)


def shufflenet(classes: int = 10) -> nn.Module:
    """Return ShuffleNetV2 of width 0.5."""
    stages: list[nn.Module] = []
    channels = 24
    for out, units in ((48, 4), (96, 8), (192, 4)):
        stages.append(ShuffleUnit(channels, out, 2))
        stages += [ShuffleUnit(out, out, 1) for _ in range(units - 1)]
        channels = out
    stem = [conv_bn(3, 24, 3, 2), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *stages, conv_bn(192, 1024, 1), pooled(1024, classes))


class Dense(nn.Module):
    """DenseNet's layer: its result beside all that came before."""

    def __init__(self, i: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(i), nn.Conv2d(i, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(F.relu(self.norm2(y)))], 1)


def densenet(classes: int = 10) -> nn.Module:
    """Return a DenseNet of three blocks with four layers each, growth 8."""
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1, bias=False)]
    channels = 16
    for block in range(3):
        for _ in range(4):
            layers.append(Dense(channels, 8))
            channels += 8
        layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        if block < 2:
            layers += [nn.Conv2d(channels, channels // 2, 1, bias=False), nn.AvgPool2d(2)]
            channels //= 2
    return nn.Sequential(*layers, pooled(channels, classes))


def vgg(pool: int, hidden: int, classes: int = 10) -> nn.Module:
    """Return a VGG of five stages; ``pool``: side of the map that its head reads."""
    layers: list[nn.Module] = []
    channels = 3
    for out in (8, 16, 32, 64):
        layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        channels = out
    return nn.Sequential(
        *layers, nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(pool), nn.Flatten(),
        nn.Linear(64 * pool * pool, hidden), nn.ReLU(inplace=True), nn.Dropout(),
        nn.Linear(hidden, classes),
    )  # fmt: skip


def alexnet(classes: int = 10) -> nn.Module:
    """Return AlexNet as torchvision has it: adaptive pool to 6x6, three linear layers."""
    relu = nn.ReLU
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), relu(True), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), relu(True), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), relu(True),
        nn.Conv2d(384, 256, 3, padding=1), relu(True),
        nn.Conv2d(256, 256, 3, padding=1), relu(True),
        nn.AdaptiveAvgPool2d(6), nn.Flatten(),
        nn.Dropout(), nn.Linear(256 * 36, 4096), relu(True),
        nn.Dropout(), nn.Linear(4096, 4096), relu(True), nn.Linear(4096, classes),
    )  # fmt: skip


def lenet5(act: Activation, classes: int = 10) -> nn.Module:
    """Return LeNet-5 with average pools and one activation throughout."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), act(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), act(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120), act(), nn.Linear(120, 84), act(),
        nn.Linear(84, classes),
    )  # fmt: skip


class Inception(nn.Module):
    """GoogLeNet's block: 1x1, 3x3, 3x3 (the publication's 5x5) and a pool, side by side."""

    def __init__(self, i: int, one: int, three: tuple[int, int], five: tuple[int, int], pool: int):
        super().__init__()
        self.one = conv_bn(i, one, 1)
        self.three = nn.Sequential(conv_bn(i, three[0], 1), conv_bn(*three))
        self.five = nn.Sequential(conv_bn(i, five[0], 1), conv_bn(*five))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), conv_bn(i, pool, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], 1)


def inception_blocks(classes: int = 10) -> nn.Module:
    """Return two of GoogLeNet's blocks between a stem and a head."""
    first = Inception(16, 8, (8, 16), (4, 8), 8)
    second = Inception(40, 16, (8, 24), (4, 8), 8)
    return nn.Sequential(conv_bn(3, 16, 3, 2), first, nn.MaxPool2d(2), second, pooled(56, classes))


def googlenet(classes: int = 10) -> nn.Module:
    """Return GoogLeNet with batch norms, without the auxiliary heads."""

    def pool(kernel: int = 3) -> nn.Module:
        return nn.MaxPool2d(kernel, 2, ceil_mode=True)

    return nn.Sequential(
        conv_bn(3, 64, 7, 2), pool(), conv_bn(64, 64, 1), conv_bn(64, 192, 3), pool(),
        Inception(192, 64, (96, 128), (16, 32), 32), Inception(256, 128, (128, 192), (32, 96), 64),
        pool(),
        Inception(480, 192, (96, 208), (16, 48), 64), Inception(512, 160, (112, 224), (24, 64), 64),
        Inception(512, 128, (128, 256), (24, 64), 64),
        Inception(512, 112, (144, 288), (32, 64), 64),
        Inception(528, 256, (160, 320), (32, 128), 128), pool(2),
        Inception(832, 256, (160, 320), (32, 128), 128),
        Inception(832, 384, (192, 384), (48, 128), 128),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(1024, classes),
    )  # fmt: skip


def mcunet(classes: int = 10) -> nn.Module:
    """Return inverted residuals with kernels of 3, 5 and 7, as MCUNet's search chooses them."""
    rows = ((8, 8, 1, 1, 3), (8, 16, 2, 4, 7), (16, 16, 1, 3, 3), (16, 24, 2, 4, 5),
            (24, 24, 1, 5, 5), (24, 40, 2, 4, 7), (40, 40, 1, 4, 3), (40, 64, 2, 4, 5))  # fmt: skip
    blocks = [Inverted(i, o, stride, expand, kernel) for i, o, stride, expand, kernel in rows]
    return nn.Sequential(conv_bn(3, 8, 3, 2, act=nn.ReLU6), *blocks, pooled(64, classes))


class Basic(nn.Module):
    """ResNet's basic block with a norm of one's choice; ``pads``: a shortcut without weights."""

    def __init__(
        self, i: int, o: int, stride: int, group_norm: bool = False, pads: bool = False
    ) -> None:
        super().__init__()

        def norm() -> nn.Module:
            return nn.GroupNorm(4, o) if group_norm else nn.BatchNorm2d(o)

        self.conv1, self.norm1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), norm()
        self.conv2, self.norm2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), norm()
        self.pads, self.stride, self.extra = pads, stride, o - i
        self.side: nn.Module = nn.Identity()
        if not pads and (stride > 1 or i != o):
            self.side = nn.Conv2d(i, o, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        if self.pads and self.extra:
            half = self.extra // 2
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, half))
        return F.relu(y + self.side(x))


def group_norm_net(classes: int = 10) -> nn.Module:
    """Return a small network whose norms are of groups of channels."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2, 1), nn.GroupNorm(8, 32), nn.ReLU(), pooled(32, classes),
    )  # fmt: skip


def option_a_resnet(classes: int = 10) -> nn.Module:
    """Return a residual network for CIFAR whose shortcuts pad channels with zeros."""
    blocks = [Basic(8, 8, 1), Basic(8, 16, 2, pads=True), Basic(16, 32, 2, pads=True)]
    return nn.Sequential(conv_bn(3, 8), *blocks, pooled(32, classes))


def leaky_net(classes: int = 10) -> nn.Module:
    """Return two strided convolutions with leaky ReLU."""

    def leaky() -> nn.Module:
        return nn.LeakyReLU(0.1)

    return nn.Sequential(conv_bn(3, 16, 3, 2, act=leaky), conv_bn(16, 32, 3, 2, act=leaky),
                         pooled(32, classes))  # fmt: skip


class MapLogits(nn.Module):
    """Logits that a convolution makes of the whole map, read by a view."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(3, 16, 3, 2), conv_bn(16, 32, 3, 2))
        self.last = nn.Conv2d(32, classes, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.body(x)).view(x.size(0), -1)


class Normalizing(nn.Module):
    """A network that normalizes its images itself."""

    mean: Tensor
    std: Tensor

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.1, -0.2, 0.3]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.5, 0.7, 0.9]).view(1, 3, 1, 1))
        self.body = nn.Sequential(conv_bn(3, 16, 3, 2), conv_bn(16, 32, 3, 2), pooled(32, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.body((x - self.mean) / self.std)


class ImageAndNumber(nn.Module):
    """A classifier of an image and one measured number."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(3, 16, 3, 2), conv_bn(16, 16, 3, 2),
                                  nn.AdaptiveAvgPool2d(1), nn.Flatten())  # fmt: skip
        self.head = nn.Linear(17, classes)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.head(torch.cat([self.body(x), t.flatten(1)], 1))


class Embedding(nn.Module):
    """A vector of length 1 for each image."""

    def __init__(self, size: int = 32) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(3, 16, 3, 2), conv_bn(16, 32, 3, 2), pooled(32, size))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.body(x), dim=1)


class TwoHeads(nn.Module):
    """Two answers about one image: an age, regressed, and one of two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(3, 16, 3, 2), conv_bn(16, 32, 3, 2),
                                  nn.AdaptiveAvgPool2d(1), nn.Flatten())  # fmt: skip
        self.age, self.kind = nn.Linear(32, 1), nn.Linear(32, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.body(x)
        return self.age(x), self.kind(x)


class FaceBlock(nn.Module):
    """MobileFaceNet's bottleneck with PReLU."""

    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        wide = 2 * i
        self.body = nn.Sequential(
            nn.Conv2d(i, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.PReLU(wide),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide),
            nn.PReLU(wide), nn.Conv2d(wide, o, 1, bias=False), nn.BatchNorm2d(o),
        )  # fmt: skip
        self.adds = stride == 1 and i == o

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.adds else self.body(x)


def mobilefacenet(size: int = 64) -> nn.Module:
    """Return a small MobileFaceNet: bottlenecks, then a depthwise convolution of the whole map."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.PReLU(16),
        FaceBlock(16, 24, 2), FaceBlock(24, 24, 1), FaceBlock(24, 32, 2),
        nn.Conv2d(32, 32, 7, groups=32, bias=False), nn.BatchNorm2d(32), nn.Flatten(),
        nn.Linear(32, size),
    )  # fmt: skip
