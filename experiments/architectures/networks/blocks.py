"""Blocks that several networks share."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

Activation = Callable[[], nn.Module]


def conv_bn(
    i: int,
    o: int,
    kernel: int | tuple[int, int] = 3,
    stride: int | tuple[int, int] = 1,
    groups: int = 1,
    act: Activation | None = nn.ReLU,
) -> nn.Sequential:
    """Return a convolution that keeps the map's size up to its stride, batch norm, activation."""
    kernels = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (kernels[0] // 2, kernels[1] // 2)
    layers: list[nn.Module] = [
        nn.Conv2d(i, o, kernels, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(o),
    ]
    return nn.Sequential(*layers, *([act()] if act else []))


def separable(i: int, o: int, stride: int = 1, act: Activation = nn.ReLU) -> nn.Sequential:
    """Return a depthwise 3x3 and a pointwise convolution, each with norm and activation."""
    return nn.Sequential(conv_bn(i, i, 3, stride, groups=i, act=act), conv_bn(i, o, 1, act=act))


def pooled(channels: int, classes: int = 10) -> nn.Sequential:
    """Return average pool, flatten and a linear layer."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


class Inverted(nn.Module):
    """The inverted residual of MobileNetV2: widen, depthwise, narrow; a sum where shapes agree."""

    def __init__(self, i: int, o: int, stride: int = 1, expand: int = 4, kernel: int = 3) -> None:
        super().__init__()
        wide = i * expand
        widen = [conv_bn(i, wide, 1, act=nn.ReLU6)] if expand > 1 else []
        self.body = nn.Sequential(
            *widen,
            conv_bn(wide, wide, kernel, stride, groups=wide, act=nn.ReLU6),
            conv_bn(wide, o, 1, act=None),
        )
        self.adds = stride == 1 and i == o

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return x + y if self.adds else y
