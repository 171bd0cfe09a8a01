"""Detectors up to their raw outputs; decoding and non-maximum suppression come after them."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.architectures.networks.blocks import Inverted, conv_bn

CLASSES = 3


def leaky() -> nn.Module:
    """Return YOLOv3's activation."""
    return nn.LeakyReLU(0.1)


def silu(i: int, o: int, kernel: int = 1, stride: int = 1) -> nn.Module:
    """Return convolution, norm and SiLU, as YOLOv5 and later have throughout."""
    return conv_bn(i, o, kernel, stride, act=nn.SiLU)


class YoloV3Tiny(nn.Module):
    """YOLOv3-tiny at an eighth of its width: seven convolutions, a pool of stride 1, two scales."""

    def __init__(self, anchors: int = 3) -> None:
        super().__init__()
        widths = (3, 4, 8, 16, 32, 64)
        pairs = itertools.pairwise(widths)
        stages = [nn.Sequential(conv_bn(i, o, act=leaky), nn.MaxPool2d(2)) for i, o in pairs]
        self.early = nn.Sequential(*stages[:4])
        self.middle = conv_bn(32, 64, act=leaky)
        self.late = nn.Sequential(conv_bn(64, 128, act=leaky), nn.ZeroPad2d((0, 1, 0, 1)),
                                  nn.MaxPool2d(2, 1), conv_bn(128, 64, act=leaky),
                                  conv_bn(64, 32, 1, act=leaky))  # fmt: skip
        each = anchors * (5 + CLASSES)
        self.large = nn.Sequential(conv_bn(32, 64, act=leaky), nn.Conv2d(64, each, 1))
        self.up = nn.Sequential(conv_bn(32, 16, 1, act=leaky), nn.Upsample(scale_factor=2))
        self.small = nn.Sequential(conv_bn(80, 64, act=leaky), nn.Conv2d(64, each, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.middle(self.early(x))
        coarse = self.late(F.max_pool2d(fine, 2))
        return self.large(coarse), self.small(torch.cat([self.up(coarse), fine], 1))


class Bottleneck(nn.Module):
    """Two convolutions and a sum."""

    def __init__(self, c: int, adds: bool, first: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(silu(c, c, first), silu(c, c, 3))
        self.adds = adds

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.adds else self.body(x)


class C3(nn.Module):
    """YOLOv5's stage: half of it passes by."""

    def __init__(self, i: int, o: int, adds: bool = True) -> None:
        super().__init__()
        half = o // 2
        self.a, self.b, self.last = silu(i, half), silu(i, half), silu(o, o)
        self.body = Bottleneck(half, adds)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.cat([self.body(self.a(x)), self.b(x)], 1))


class C2f(nn.Module):
    """YOLOv8's stage: two halves and what is made of one of them, all joined."""

    def __init__(self, i: int, o: int, adds: bool = True) -> None:
        super().__init__()
        half = o // 2
        self.first, self.last = silu(i, o), silu(3 * half, o)
        self.body = Bottleneck(half, adds, first=3)

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.first(x).chunk(2, 1))
        parts.append(self.body(parts[-1]))
        return self.last(torch.cat(parts, 1))


class Sppf(nn.Module):
    """Three pools in a row, each of them joined."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.first, self.last = silu(c, c // 2), silu(2 * c, c)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        a = self.first(x)
        b = self.pool(a)
        c = self.pool(b)
        return self.last(torch.cat([a, b, c, self.pool(c)], 1))


class Yolo(nn.Module):
    """Backbone and path aggregation of YOLOv5n or v8n at half their width, on two scales."""

    def __init__(self, stage: type[C3] | type[C2f], split_heads: bool, anchors: int = 3) -> None:
        super().__init__()
        first = nn.Conv2d(3, 8, 3, 2, 1) if split_heads else nn.Conv2d(3, 8, 6, 2, 2)
        self.stem = nn.Sequential(first, nn.BatchNorm2d(8), nn.SiLU(), silu(8, 16, 3, 2),
                                  stage(16, 16), silu(16, 32, 3, 2))  # fmt: skip
        self.p4 = nn.Sequential(stage(32, 32), silu(32, 64, 3, 2), stage(64, 64))
        self.p5 = nn.Sequential(silu(64, 64, 3, 2), stage(64, 64), Sppf(64))
        self.narrow, self.up = silu(64, 32), nn.Upsample(scale_factor=2, mode="nearest")
        self.fine = stage(96, 32, False)
        self.down, self.coarse = silu(32, 32, 3, 2), stage(64, 64, False)
        self.split = split_heads
        each = anchors * (5 + CLASSES)
        if split_heads:
            self.boxes = nn.ModuleList(self._head(c, 16) for c in (32, 64))
            self.scores = nn.ModuleList(self._head(c, CLASSES) for c in (32, 64))
        else:
            self.heads = nn.ModuleList(nn.Conv2d(c, each, 1) for c in (32, 64))

    @staticmethod
    def _head(i: int, o: int) -> nn.Module:
        return nn.Sequential(silu(i, 16, 3), silu(16, 16, 3), nn.Conv2d(16, o, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        p4 = self.p4(self.stem(x))
        top = self.narrow(self.p5(p4))
        fine = self.fine(torch.cat([self.up(top), p4], 1))
        coarse = self.coarse(torch.cat([self.down(fine), top], 1))
        if not self.split:
            return self.heads[0](fine), self.heads[1](coarse)
        pairs = zip(self.boxes, self.scores, (fine, coarse), strict=True)
        return tuple(torch.cat([boxes(at), scores(at)], 1) for boxes, scores, at in pairs)


class Ssd(nn.Module):
    """SSD on MobileNetV2: boxes and scores of two scales, each joined to one list."""

    def __init__(self, anchors: int = 3) -> None:
        super().__init__()
        self.early = nn.Sequential(
            conv_bn(3, 16, 3, 2, act=nn.ReLU6), Inverted(16, 16, 1, 1), Inverted(16, 24, 2),
            Inverted(24, 24), Inverted(24, 32, 2), Inverted(32, 32), Inverted(32, 64, 2),
        )  # fmt: skip
        self.late = nn.Sequential(Inverted(64, 96), Inverted(96, 96, 2))
        self.boxes = nn.ModuleList(nn.Conv2d(c, anchors * 4, 3, padding=1) for c in (64, 96))
        self.scores = nn.ModuleList(nn.Conv2d(c, anchors * CLASSES, 3, padding=1) for c in (64, 96))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.early(x)
        maps = fine, self.late(fine)
        boxes = [head(at) for head, at in zip(self.boxes, maps, strict=True)]
        scores = [head(at) for head, at in zip(self.scores, maps, strict=True)]
        return self._listed(boxes, 4), self._listed(scores, CLASSES)

    @staticmethod
    def _listed(maps: list[Tensor], each: int) -> Tensor:
        return torch.cat([m.permute(0, 2, 3, 1).reshape(m.size(0), -1, each) for m in maps], 1)


class BlazeBlock(nn.Module):
    """BlazeFace's block: a depthwise 5x5, a shortcut that is pooled and padded with channels."""

    def __init__(self, i: int, o: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(i, i, 5, stride, 2, groups=i), nn.Conv2d(i, o, 1),
                                  nn.BatchNorm2d(o))  # fmt: skip
        self.stride, self.extra = stride, o - i

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        if self.stride > 1:
            x = F.max_pool2d(x, 2)
        if self.extra:
            x = F.pad(x, (0, 0, 0, 0, 0, self.extra))
        return F.relu(x + y)


class BlazeFace(nn.Module):
    """A small BlazeFace: scores and boxes of the anchors of one map."""

    def __init__(self, anchors: int = 2) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_bn(3, 8, 5, 2), BlazeBlock(8, 8), BlazeBlock(8, 12), BlazeBlock(12, 16, 2),
            BlazeBlock(16, 16), BlazeBlock(16, 24, 2),
        )  # fmt: skip
        self.scores, self.boxes = nn.Conv2d(24, anchors, 1), nn.Conv2d(24, anchors * 16, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.body(x)
        scores = self.scores(x).permute(0, 2, 3, 1).reshape(x.size(0), -1, 1)
        return scores, self.boxes(x).permute(0, 2, 3, 1).reshape(x.size(0), -1, 16)
