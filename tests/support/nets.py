"""Small modules, one per thing a user may write; shapes are distinct primes where they can be."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nestnet.frontend.capture import capture
from nestnet.net.network import NestedNet
from tests.support.attention_nets import Channels, Tokens

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Case:
    """A module and the h, w, c of its input."""

    name: str
    shape: Shape
    build: Callable[[], nn.Module]
    in_a_row: bool = False
    """Whether the module takes samples in a row, (n, c, w)."""

    def images(self, count: int, seed: int) -> Tensor:
        """Return inputs on the int8 grid as the module is fed them."""
        x = images(self.shape, count, seed)
        return x.squeeze(2) if self.in_a_row else x


def head(channels: int, classes: int = 5) -> list[nn.Module]:
    """Return average pool, flatten and a linear layer."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]


def conv_bn(i: int, o: int, kernel: int | tuple[int, int] = 3, **options: object) -> nn.Module:
    """Return convolution, batch norm, ReLU."""
    conv = nn.Conv2d(i, o, kernel, bias=False, **options)  # type: ignore[arg-type]
    return nn.Sequential(conv, nn.BatchNorm2d(o), nn.ReLU())


class Residual(nn.Module):
    """A residual block written with in-place operations."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 7)
        self.conv = nn.Conv2d(7, 7, 3, padding=1)
        self.norm = nn.BatchNorm2d(7)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Sequential(*head(7))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm(self.conv(x))
        y += x
        self.relu(y)
        return self.head(y)


class TwoBranches(nn.Module):
    """A sum of two convolutions, and a sum whose parts are used again."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 5, 3, padding=1)
        self.b = nn.Conv2d(3, 5, 1)
        self.head = nn.Sequential(*head(5))

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x) + self.b(x)
        z = F.relu(y)
        return self.head(y + z)


class PreActivation(nn.Module):
    """Batch norms and activations that follow no convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.BatchNorm2d(3)
        self.conv = nn.Conv2d(3, 5, 3)
        self.second = nn.BatchNorm2d(5)
        self.head = nn.Sequential(*head(5))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(F.relu(self.first(x))))
        return self.head(F.relu(self.second(x)))


class Functional(nn.Module):
    """No layer modules at all."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(5, 3, 3, 2) * 0.3)
        self.b = nn.Parameter(torch.randn(5) * 0.3)
        self.v = nn.Parameter(torch.randn(3, 5) * 0.3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.w, self.b, stride=(2, 1)).clamp(min=0)
        return F.log_softmax(F.linear(x.mean((2, 3)), self.v), dim=1)


class Positions(nn.Module):
    """Positions merged to one axis, averaged there; shapes taken from the tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv_bn(3, 7)
        self.fc = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x.view(x.size(0), x.size(1), -1).mean(-1)
        return self.fc(x.unsqueeze(-1).squeeze(-1))


class OneChannel(nn.Module):
    """Maps of one channel as vectors and back, twice: channels and positions have one order."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, (1, 2))
        self.wide = nn.Linear(20, 21)
        self.second = conv_bn(1, 3)
        self.head = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).flatten(1).view(-1, 1, 5, 4).flatten(2).flatten(1)
        x = self.second(self.wide(x).view(x.size(0), 1, 3, 7))
        return self.head(x.mean((2, 3)).view(-1, 3))


class VectorNorm(nn.Module):
    """Batch norm on a flattened map, then a linear layer with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv_bn(2, 3)
        self.norm = nn.BatchNorm1d(3 * 3 * 5)
        self.fc1 = nn.Linear(3 * 3 * 5, 11, bias=False)
        self.norm1 = nn.BatchNorm1d(11)
        self.fc2 = nn.Linear(11, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(torch.flatten(self.conv(x), 1))
        x = F.dropout(F.relu(self.norm1(self.fc1(x))), 0.25, self.training)
        return self.fc2(x)


class Activations(nn.Module):
    """Functions that become tables: as modules, functions and methods, in place and in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 5, 3), nn.Conv2d(3, 5, 3), conv_bn(5, 7, 1)
        self.leaky, self.elu = nn.LeakyReLU(0.2, inplace=True), nn.ELU(0.7)
        self.head = nn.Sequential(*head(7))

    def forward(self, x: Tensor) -> Tensor:
        y = F.hardswish(self.leaky(self.a(x)))
        z = F.relu(self.elu(self.b(x)).tanh_())
        return self.head(F.mish(self.c(F.softplus(y, 2.0) + z)).sigmoid().relu())


class DenseBlock(nn.Module):
    """Concatenations: of the input, of a value twice, nested, before batch norm and of vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = conv_bn(3, 5, 3, padding=1), nn.Conv2d(8, 2, 3, padding=1)
        self.norm, self.c = nn.BatchNorm2d(18), nn.Conv2d(18, 4, 1)
        self.fc = nn.Linear(4 + 18, 3)

    def forward(self, x: Tensor) -> Tensor:
        first = torch.cat((x, self.a(x)), 1)
        second = torch.cat([first, F.silu(self.b(first))], dim=-3)
        third = F.relu(self.norm(torch.cat([second, first], 1)))
        mixed = self.c(third)
        tall = torch.concat([mixed, mixed], 2)
        return self.fc(torch.cat([tall.mean((2, 3)), F.max_pool2d(third, (7, 5)).flatten(1)], -1))


class OtherSpellings(nn.Module):
    """Limits and shapes as functions, under the names that no layer of torch.nn uses."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 7, (2, 3))
        self.third = nn.Conv2d(7, 2, 1)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.clamp_min(F.relu6(self.first(x)), 0.25)
        x = torch.clip(torch.clamp_max(self.second(x), 0.75), -0.5)
        x = self.third(x.flatten(2).unflatten(2, (4, 1))).reshape(-1, 2, 4)
        return self.head(torch.concatenate([x, F.relu(x)], 1).mean(2))  # type: ignore[no-any-return]


class Samples(nn.Module):
    """A residual network on samples in a row, (n, c, w), that ends in two kinds of pools."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv1d(3, 8, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.MaxPool1d(3, 2, padding=1),
        )
        self.depthwise = nn.Conv1d(8, 8, 3, padding="same", groups=8)
        self.norm, self.point = nn.BatchNorm1d(8), nn.Conv1d(8, 8, 1)
        self.dropout = nn.Dropout1d(0.2)
        self.down = nn.Sequential(nn.AvgPool1d(3, 2, 1), nn.Conv1d(8, 6, 2), nn.ReLU6())
        self.fc = nn.Linear(6 * 7, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.relu(x + self.point(F.relu(self.norm(self.depthwise(x)))))
        x = self.down(torch.cat([x, self.dropout(x)], 2))
        most, _ = F.max_pool1d(x, 3, 2, return_indices=True)
        pools = [F.adaptive_avg_pool1d(x, 1), F.adaptive_max_pool1d(x, 1), most]
        return self.fc(torch.cat(pools, -1).flatten(1))


class Pools(nn.Module):
    """Windows of all kinds: adaptive, beyond the map, averages of what is counted, indices left."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv_bn(3, 5, 2)
        nn.init.constant_(self.conv[1].bias, 0.5)  # a channel without weights is not 0
        self.fc = nn.Linear(5 * 7 * 5, 5)

    def forward(self, x: Tensor) -> Tensor:
        x, _ = F.max_pool2d(self.conv(x), (3, 2), 1, (1, 0), return_indices=True)  # 12 x 9
        parts = [
            F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),  # 7 x 5
            F.avg_pool2d(x, (2, 3), 2, (0, 1), ceil_mode=True, count_include_pad=False),  # 6 x 5
            F.avg_pool2d(x, 3, (2, 2), 1, count_include_pad=False),  # 6 x 5
            F.avg_pool2d(x, (2, 1), (2, 2), divisor_override=2),  # 6 x 5
            F.max_pool2d(x, 3, 2, ceil_mode=True),  # 6 x 4
            F.avg_pool2d(x, 1, 7),  # 2 x 2
        ]
        parts = [F.adaptive_avg_pool2d(part, (5, 7)) for part in parts]
        return self.fc(F.adaptive_max_pool2d(torch.cat(parts, 2), (7, 5)).flatten(1))


class Gates(nn.Module):
    """Squeeze and excitation, a spatial gate, one number, a gate of another resolution, written in
    place and in either order; a product of two maps."""

    def __init__(self, gate: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.gate = gate
        self.conv, self.other = conv_bn(3, 7), nn.Conv2d(3, 7, 3)
        self.squeeze, self.excite = nn.Conv2d(7, 3, 1), nn.Conv2d(3, 7, 1)
        self.spatial, self.one = nn.Conv2d(7, 1, 3, padding=1), nn.Conv2d(7, 1, (9, 5))
        self.coarse = nn.Conv2d(3, 7, 3, stride=4)
        self.head = nn.Sequential(*head(7))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        z = y.mean((2, 3), keepdim=True)
        y = y * self.gate(self.excite(F.relu(self.squeeze(z))))
        y *= self.gate(self.spatial(y))
        y = torch.divide(self.gate(self.one(y)), 0.5) * y
        y = torch.multiply(y, torch.tanh(self.other(x)))
        rows = self.gate(self.coarse(x).mean((2, 3), keepdim=True))
        return self.head(F.relu(rows.mul(y)))


class WrittenOut(nn.Module):
    """Activations from their formulas: each is one table."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 7, 1), nn.Conv2d(7, 5, 1)
        self.d = nn.Conv2d(5, 5, 1)
        self.head = nn.Sequential(*head(5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        x = x * torch.sigmoid(x)
        x = self.b(x)
        x = x * F.relu6(x + 3) / 6
        x = self.c(2 * x)
        x = x.mul_(F.hardsigmoid(x)) - 0.25
        x = (1 - x).div(2) + torch.rsub(x, 3, alpha=0.5).relu()
        x = (-self.d(x)).sigmoid().exp() + (x + 0.5).square()
        return self.head(torch.true_divide(((x.abs() + 1).sqrt() - 1.5) ** 2, -3))


class Affine(nn.Module):
    """Normalization in forward, learned scales and biases, numbers around layers and pools."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.2, -0.1, 0.3]).view(3, 1, 1))
        self.register_buffer("std", torch.tensor([0.7, 1.3, 0.9]).view(1, 3, 1, 1))
        self.conv, self.norm, self.late = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.BatchNorm2d(5)
        self.scale, self.bias = nn.Parameter(torch.rand(5, 1, 1)), nn.Parameter(torch.randn(5))
        self.branch, self.one = nn.Conv2d(5, 5, 1), nn.Parameter(torch.tensor(0.7))
        self.vector = nn.Parameter(torch.randn(5))
        self.head = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.mean) / self.std
        x = F.relu(self.norm(self.conv(x)) * self.scale + self.bias.view(1, -1, 1, 1))
        x = self.one * x
        x = x + self.late(-0.5 * self.branch(x) + 1)
        x = 2 - F.max_pool2d(x, 3) / 4
        return self.head(self.vector - x.mean((2, 3))) / torch.tensor([1.0, 2, 3, 4, 5])


class Normalized(nn.Module):
    """Group, instance and layer norms, with and without weights; learned slopes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 5, 1), nn.Conv2d(5, 7, (2, 1))
        self.group, self.one = nn.GroupNorm(3, 6), nn.GroupNorm(1, 5, affine=False)
        self.each, self.slope = nn.InstanceNorm2d(7, affine=True), nn.PReLU(5)
        self.vector, self.root = nn.LayerNorm(11), nn.RMSNorm(13)
        self.fc, self.wide, self.last = nn.Linear(84, 11), nn.Linear(11, 13), nn.Linear(13, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.group(self.a(x)))
        x = self.slope(self.one(self.b(x)))
        x = self.vector(self.fc(F.relu(self.each(self.c(x))).flatten(1)))
        return self.last(self.root(self.wide(x)))


class Embedding(nn.Module):
    """Vectors of length 1, at every position and at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 7, 3), nn.Conv2d(7, 5, 1)
        self.fc = nn.Linear(75, 11)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = F.relu(self.second(x / x.norm(dim=1, keepdim=True)))
        return F.normalize(self.fc(x.flatten(1)))


class ChannelsLast(nn.Module):
    """A block of ConvNeXt: layer norm and linear layers over the last dimension, a layer scale;
    then tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.norm, self.wide, self.narrow = nn.LayerNorm(6), nn.Linear(6, 11), nn.Linear(11, 6)
        self.gamma, self.act = nn.Parameter(torch.rand(6)), nn.GELU()
        self.late, self.shift = nn.LayerNorm(6), nn.Parameter(torch.randn(6))
        self.mix, self.head = nn.Linear(6, 7), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.narrow(self.act(self.wide(y))) * self.gamma
        x = self.late((x + y.permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)) + self.shift
        return self.head(self.mix(x).mean(1))


class Sums(nn.Module):
    """Additions and subtractions with repetition, signs and factors."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.same = nn.Conv2d(3, 7, 3), nn.Conv2d(7, 7, 3, padding=1)
        self.last, self.one, self.two = nn.Conv2d(7, 7, 1), nn.Conv2d(7, 1, 1), nn.Conv2d(7, 1, 1)
        self.head = nn.Sequential(*head(7))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x - self.same(x)
        x = x.mean((2, 3), keepdim=True) - x
        x = torch.add(x, self.one(x), alpha=0.5)
        y = self.last(x)
        y -= x
        return self.head(F.relu(torch.subtract(y, self.two(y), alpha=2)))


class Padded(nn.Module):
    """Zeros around a map, as TensorFlow's SAME has them, read by what can and cannot take them in;
    more channels; crops."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = conv_bn(3, 5, 3, stride=2), nn.Conv2d(5, 5, 3, groups=5, dilation=2)
        self.c, self.d = nn.Conv2d(5, 7, 3, padding=1), nn.Conv2d(9, 4, 1)
        self.border, self.e = nn.ZeroPad2d((1, 2, 0, 1)), nn.Conv1d(4, 5, 4)
        self.fc = nn.Linear(19, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(F.pad(x, (0, 1, 0, 1)))  # 5 x 6 x 5
        most = F.max_pool2d(self.border(x), 3, 2)
        least = F.max_pool2d(F.pad(x, (0, 1, 2, 0), value=float("-inf")), 3)
        y = self.b(F.pad(x, [2, 2, 2, 2])) + F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 1)
        z = F.pad(y, (-1, 1))
        y = F.pad(torch.tanh(self.c(z)), (0, 0, 0, 0, 1, 1))  # read by what sees each position
        y = self.d(y) + torch.constant_pad_nd(y[:, 2:6], (0, 0, 1, -1))
        row = self.e(F.pad(y.flatten(2), (3, 0)))
        ends = [row.mean(2), y.amax((2, 3)), most.mean((2, 3)) + least.mean((2, 3))]
        ends.append(F.max_pool2d(F.pad(z, (1, 1, 1, 1)), 3).mean((2, 3)))
        return self.fc(torch.cat(ends, 1))  # type: ignore[no-any-return]


class Dilated(nn.Module):
    """Kernels with gaps: a causal one on samples, one level's and a depthwise one on a map."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, (2, 3), dilation=(3, 2), padding="same", bias=False)
        self.norm, self.second = nn.BatchNorm2d(8), nn.Conv2d(8, 7, 2, 2, 2, dilation=2)
        self.depthwise = nn.Conv2d(7, 7, 3, padding=2, dilation=2, groups=7)
        self.row = nn.Conv1d(7, 6, 3, padding=8, dilation=4)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.first(x)))
        x = F.relu(self.depthwise(self.second(x))).flatten(2)
        return self.head(self.row(x).mean(2))


class Upwards(nn.Module):
    """Transposed convolutions: phases alone, with gaps, cut at the end, wide apart, on samples."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 8, 3, stride=2)
        self.a = nn.ConvTranspose2d(8, 6, 2, 2, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.b = nn.ConvTranspose2d(6, 5, (3, 4), 2, 1, (1, 0))
        self.c = nn.ConvTranspose2d(5, 4, (3, 2), (2, 3), (0, 1))
        self.d = nn.ConvTranspose1d(4, 3, 5, 3, 2, 1)
        self.fc = nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.a(self.stem(x))))
        x = F.max_pool2d(F.relu(self.b(x)), 3)
        x = F.interpolate(x, scale_factor=2, mode="bilinear")
        x = F.interpolate(x, size=(4, 5), mode="bilinear", align_corners=True)
        x = F.max_pool2d(self.c(x).relu(), (3, 1)).flatten(2)
        return self.fc(F.interpolate(self.d(x), scale_factor=2, mode="linear").mean(2))


class Reductions(nn.Module):
    """Means, sums and maxima over each dimension, with and without it, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv_bn(3, 5, 2)
        self.second = nn.Conv2d(2, 4, (1, 2))
        self.fc, self.tall = nn.Linear(5 + 4 + 5 + 1, 5), nn.Linear(5 * 9, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)  # 5 x 9 x 7, odd: no mean lies halfway between two steps
        most = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        most = self.second(most).sum((2, 3))
        line = x.max(2)[0].mean(-1) + x.mean(3).mean(2)
        rest = x.mean((1, 3), keepdim=True).max(2)[0].flatten(1)
        parts = [line, most, x.amax((2, 3)), rest]
        return self.fc(torch.cat(parts, 1)) + self.tall(x.sum(3).flatten(1))


class Shuffles(nn.Module):
    """Channels and pixels in other orders: by functions, and written out by views."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(2, 12, 3), nn.Conv2d(3, 6, (2, 1)), conv_bn(54, 9, 1)
        self.head = nn.Sequential(*head(9))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.channel_shuffle(self.a(x), 3))
        x = x.view(-1, 2, 6, 5, 3).transpose(1, 2).reshape(-1, 12, 5, 3)
        x = F.pixel_unshuffle(F.silu(self.b(F.pixel_shuffle(x, 2))), 3)
        return self.head(self.c(x))  # type: ignore[no-any-return]


class Parts(nn.Module):
    """Slices and what splitting makes, along every axis, read once, twice and not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = conv_bn(2, 11, 2), nn.Conv2d(3, 5, 1), nn.Conv2d(4, 5, 1)
        self.d, self.fc = nn.Conv2d(10, 7, 2), nn.Linear(30, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x[:, :, 1:, ::2])
        first, second, rest = x.split([3, 4, 4], 1)
        top, bottom = torch.cat([self.b(first), self.c(second + rest)], 1).chunk(2, 2)
        y = self.d(F.relu(top.narrow(2, 1, 2)) + bottom)
        one, _, three = y[:].split(4, 1)[0].tensor_split(3, 3)
        ends = [x[:, 9:, 0], x.unbind(3)[1][:, :, 2], y[..., -1], three]
        return self.fc(torch.cat([one.flatten(1), *(end.flatten(1) for end in ends[:3])], 1) + 0)  # type: ignore[no-any-return]


class Turns(nn.Module):
    """Axes in another order, back and not, and what is computed on them in between."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = conv_bn(2, 5), nn.Conv2d(5, 7, 1), nn.Conv2d(7, 3, 1)
        self.fc = nn.Linear(90, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.a(x).permute(0, 2, 3, 1)).movedim(3, 1)
        x = self.b(x).flatten(2).swapaxes(1, 2)
        x = F.elu(x + torch.tanh(x)).mT.unflatten(2, (5, 3)).swapdims(2, 3)
        x = self.c(x).moveaxis(2, 3).flip((3, 1))
        both = torch.cat([x.view_as(x).flatten(2), x.adjoint().reshape(-1, 3, 15)], 2)
        return self.fc(both.transpose(1, 2).flatten(1))  # type: ignore[no-any-return]


class Repeats(nn.Module):
    """Elements several times: nearest upsampling, expansion, tiles."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = conv_bn(3, 5), nn.Conv2d(5, 5, 3), nn.Conv2d(5, 3, 2, (3, 2))
        self.up, self.fc = nn.Upsample(scale_factor=(2, 3)), nn.Linear(72, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(self.b(self.up(self.a(x))), (16, 7))
        mean = x.mean((2, 3), keepdim=True)
        x = x + mean.expand_as(x)
        x = torch.cat([x.repeat_interleave(2, 3), mean.expand(-1, 5, 3, 14)], 2)
        y = self.c(x).tile(2, 1)[..., 3]
        z = F.interpolate(y, scale_factor=2.0) + y.repeat(1, 1, 2)
        return self.fc(z.broadcast_to(z.shape).reshape_as(z).flatten(1))  # type: ignore[no-any-return]


def _sequential(*layers: nn.Module) -> Callable[[], nn.Module]:
    """Return a factory of fresh copies: no case sees what another has done to its layers."""
    return lambda: copy.deepcopy(nn.Sequential(*layers))


CASES = (
    Case("plain", (7, 5, 3), _sequential(conv_bn(3, 11), *head(11))),
    Case("bias without norm", (7, 5, 3), _sequential(nn.Conv2d(3, 7, 3), nn.ReLU(), *head(7))),
    Case("norm after bias", (7, 5, 3),
         _sequential(nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7), *head(7))),
    Case("norm without affine", (7, 5, 3),
         _sequential(nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7, affine=False), nn.ReLU(), *head(7))),
    Case("stride and padding", (11, 7, 3),
         _sequential(conv_bn(3, 5, (5, 3), stride=(2, 1), padding=(2, 0)), *head(5))),
    Case("same, even kernel", (7, 5, 3),
         _sequential(conv_bn(3, 5, (4, 2), padding="same"), *head(5))),
    Case("valid", (7, 5, 3), _sequential(conv_bn(3, 5, 2, padding="valid"), *head(5))),
    Case("grouped", (7, 5, 6), _sequential(conv_bn(6, 9, groups=3), *head(9))),
    Case("depthwise", (7, 5, 5), _sequential(conv_bn(5, 5, groups=5), conv_bn(5, 7, 1), *head(7))),
    Case("relu6", (7, 5, 3),
         _sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU6(inplace=True), *head(5))),
    Case("hardtanh", (7, 5, 3), _sequential(nn.Conv2d(3, 5, 3), nn.Hardtanh(), *head(5))),
    Case("two activations", (7, 5, 3),
         _sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Hardtanh(-1, 0.7), *head(5))),
    Case("activation of a pool", (11, 9, 3),
         _sequential(nn.AvgPool2d(2), nn.ReLU(), nn.Conv2d(3, 5, 2), nn.MaxPool2d(2, 1), nn.ReLU(),
                     nn.Flatten(), nn.Linear(30, 3))),
    Case("max pool", (11, 7, 3),
         _sequential(conv_bn(3, 5), nn.MaxPool2d(3, 2, padding=1), *head(5))),
    Case("max pool, ceil", (12, 7, 3),
         _sequential(conv_bn(3, 5, 2), nn.MaxPool2d(2, 2, ceil_mode=True), *head(5))),
    Case("average pool", (11, 7, 3),
         _sequential(conv_bn(3, 5), nn.AvgPool2d((3, 2), (2, 1), padding=(1, 1)), *head(5))),
    Case("adaptive pools", (8, 12, 3),
         _sequential(nn.Conv2d(3, 5, 1), nn.AdaptiveMaxPool2d((4, 6)), nn.AdaptiveAvgPool2d((2, 3)),
                     nn.Flatten(), nn.Linear(30, 3))),
    Case("flatten a map", (5, 7, 3),
         _sequential(conv_bn(3, 2), nn.Flatten(), nn.Linear(30, 13), nn.ReLU(), nn.Linear(13, 3))),
    Case("softmax", (7, 5, 3), _sequential(conv_bn(3, 5), *head(5), nn.Softmax(1))),
    Case("dropout", (7, 5, 3),
         _sequential(conv_bn(3, 5), nn.Dropout2d(0.3), *head(5)[:2], nn.Dropout(0.5),
                     nn.Linear(5, 3))),
    Case("all convolutions", (7, 5, 3),
         _sequential(conv_bn(3, 5), nn.Conv2d(5, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())),
    Case("linear only", (3, 5, 2), _sequential(nn.Flatten(), nn.Linear(30, 3))),
    Case("residual in place", (7, 5, 3), lambda: _padded(Residual())),
    Case("two branches", (7, 5, 3), TwoBranches),
    Case("pre-activation", (7, 5, 3), PreActivation),
    Case("functional", (7, 5, 3), Functional),
    Case("positions", (7, 5, 3), Positions),
    Case("one channel", (5, 5, 2), OneChannel),
    Case("vector norm", (5, 7, 2), VectorNorm),
    Case("activations", (7, 5, 3), Activations),
    Case("gelu", (7, 5, 3),
         _sequential(conv_bn(3, 5), nn.GELU(), nn.Conv2d(5, 7, 1), nn.GELU("tanh"), nn.CELU(0.4),
                     nn.MaxPool2d(2), nn.Hardsigmoid(), nn.Conv2d(7, 5, 1), nn.SELU(), *head(5))),
    Case("dense block", (7, 5, 3), DenseBlock),
    Case("gates, sigmoid", (11, 7, 3), lambda: Gates(torch.sigmoid)),
    Case("gates, hardsigmoid", (11, 7, 3), lambda: Gates(F.hardsigmoid)),
    Case("written out", (7, 5, 3), WrittenOut),
    Case("affine", (7, 5, 3), Affine),
    Case("normalized", (7, 5, 3), Normalized),
    Case("embedding", (7, 5, 3), Embedding),
    Case("channels last", (7, 5, 3), ChannelsLast),
    Case("sums", (7, 5, 3), Sums),
    Case("shuffles", (7, 5, 2), Shuffles),
    Case("parts", (7, 9, 2), Parts),
    Case("turns", (7, 5, 2), Turns),
    Case("repeats", (7, 5, 3), Repeats),
    Case("other spellings", (7, 5, 3), OtherSpellings),
    Case("pools", (13, 11, 3), Pools),
    Case("padded", (12, 11, 3), Padded),
    Case("dilated", (11, 13, 3), Dilated),
    Case("upwards", (7, 9, 3), Upwards),
    Case("reductions", (10, 8, 3), Reductions),
    Case("samples", (1, 47, 3), Samples, in_a_row=True),
    Case("tokens", (7, 5, 3), lambda: Tokens(width=12)),
    Case("attention of channels", (4, 6, 2), Channels),
)  # fmt: skip


def _padded(net: Residual) -> Residual:
    net.stem[0].padding = (1, 1)  # type: ignore[index]
    return net


def trained_like(case: Case, seed: int = 0) -> nn.Module:
    """Return the case's module with lively batch-norm statistics and affines, in training mode."""
    torch.manual_seed(seed)
    module = case.build()
    for part in module.modules():
        if hasattr(part, "reset_parameters"):  # the case's layers were made before the seed was set
            part.reset_parameters()
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            assert part.running_mean is not None and part.running_var is not None
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.2, 2.0)
            if part.affine:
                nn.init.uniform_(part.weight, -1.2, 1.5)
                nn.init.normal_(part.bias, 0, 0.4)
    return module.train()


def macs(module: nn.Module, shape: Shape) -> int:
    """Return the multiply-accumulates of one dense inference."""
    layers = NestedNet(module, capture(module, shape).network).weighted().values()
    return sum(layer.weight.numel() * layer.positions for layer in layers)


def images(shape: Shape, count: int, seed: int) -> Tensor:
    """Return network inputs (n, c, h, w) on the int8 grid."""
    generator = torch.Generator().manual_seed(seed)
    h, w, c = shape
    pixels = torch.randint(0, 256, (count, c, h, w), generator=generator)
    return (pixels - 128).float() / 64


SHAPES = {
    "autoencoder": (32, 32, 1),
    "cnn1d": (1, 128, 6),
    "digits_cnn": (8, 8, 1),
    "ds_cnn": (49, 10, 1),
    "fomo": (96, 96, 1),
    "mobilenetv1": (32, 32, 3),
    "mobilenetv1_96": (96, 96, 3),
    "resnet8": (32, 32, 3),
    "unet_small": (64, 64, 1),
}


def leave_behind(value: float, *sizes: int) -> None:
    """Fill memory with ``value`` and free it, for what comes next to find."""
    blocks = [
        torch.full((size,), value, dtype=dtype)
        for size in sizes
        for dtype in (torch.float32, torch.bfloat16)
        for _ in range(3)
    ]
    del blocks
