"""Networks of sensor windows and sounds: one-dimensional, recurrent, and of spectrograms."""

from __future__ import annotations

import itertools

import torch.nn.functional as F
from torch import Tensor, nn

from experiments.architectures.networks.blocks import conv_bn, pooled


class Causal(nn.Module):
    """A dilated convolution that looks back only: padded on both sides, its end cut off."""

    def __init__(self, i: int, o: int, dilation: int) -> None:
        super().__init__()
        self.cut = 2 * dilation
        self.conv = nn.Conv1d(i, o, 3, padding=self.cut, dilation=dilation)
        self.side = nn.Conv1d(i, o, 1) if i != o else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(F.relu(self.conv(x)[:, :, : -self.cut]) + self.side(x))


class Tcn(nn.Module):
    """A temporal convolutional network that answers at the last sample."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.body = nn.Sequential(Causal(3, 8, 1), Causal(8, 8, 2), Causal(8, 16, 4))
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x)[:, :, -1])


def one_dimensional(classes: int = 5) -> nn.Module:
    """Return a classifier of accelerations or an ECG by one-dimensional convolutions."""
    return nn.Sequential(
        nn.Conv1d(3, 8, 5, padding=2), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(8, 16, 5, padding=2), nn.BatchNorm1d(16), nn.ReLU(), nn.MaxPool1d(2),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, classes),
    )  # fmt: skip


def one_row(classes: int = 5) -> nn.Module:
    """Return the same in two dimensions: kernels of height 1."""
    return nn.Sequential(
        conv_bn(3, 8, (1, 5)), nn.MaxPool2d((1, 2)), conv_bn(8, 16, (1, 5)), nn.MaxPool2d((1, 2)),
        conv_bn(16, 16, (1, 3)), pooled(16, classes),
    )  # fmt: skip


def ds_cnn(classes: int = 12) -> nn.Module:
    """Return DS-CNN for keywords with TensorFlow's asymmetric padding before the first layer."""
    blocks = [nn.Sequential(conv_bn(16, 16, 3, groups=16), conv_bn(16, 16, 1)) for _ in range(4)]
    return nn.Sequential(
        nn.ZeroPad2d((1, 1, 4, 5)), nn.Conv2d(1, 16, (10, 4), 2, bias=False), nn.BatchNorm2d(16),
        nn.ReLU(), *blocks, nn.Dropout(0.2), pooled(16, classes),
    )  # fmt: skip


def dense_autoencoder() -> nn.Module:
    """Return the anomaly detector of MLPerf Tiny: linear layers to a code of 8 and back."""
    layers: list[nn.Module] = [nn.Flatten()]
    widths = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128)
    for i, o in itertools.pairwise(widths):
        layers += [nn.Linear(i, o), nn.BatchNorm1d(o), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(128, 640))


class Crnn(nn.Module):
    """Convolutions over a spectrogram, then a GRU along its time; the last state decides."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(1, 8), nn.MaxPool2d(2), conv_bn(8, 16), nn.MaxPool2d(2))
        self.rnn = nn.GRU(16 * 4, 16, batch_first=True)
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x).permute(0, 3, 1, 2).flatten(2)
        return self.head(self.rnn(x)[0][:, -1])


class ConvLstm(nn.Module):
    """A convolution along time and an LSTM: activities from accelerations."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(6, 16, 5, 2), nn.ReLU())
        self.rnn = nn.LSTM(16, 16, batch_first=True)
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.body(x).transpose(1, 2))[0][:, -1])


def eegnet(classes: int = 4) -> nn.Module:
    """Return EEGNet: along time, over the electrodes, then separable along time again."""
    return nn.Sequential(
        nn.Conv2d(1, 8, (1, 32), padding="same", bias=False), nn.BatchNorm2d(8),
        nn.Conv2d(8, 16, (8, 1), groups=8, bias=False), nn.BatchNorm2d(16), nn.ELU(),
        nn.AvgPool2d((1, 4)), nn.Dropout(0.25),
        nn.Conv2d(16, 16, (1, 16), padding="same", groups=16, bias=False),
        nn.Conv2d(16, 16, 1, bias=False), nn.BatchNorm2d(16), nn.ELU(), nn.AvgPool2d((1, 8)),
        nn.Dropout(0.25), nn.Flatten(), nn.Linear(16 * 4, classes),
    )  # fmt: skip


class TemporalBlock(nn.Module):
    """TC-ResNet's block: two 9x1 convolutions along time and a strided shortcut."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(i, o, (1, 9), (1, 2)), conv_bn(o, o, (1, 9), act=None))
        self.side = conv_bn(i, o, 1, (1, 2))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.side(x))


def tc_resnet8(classes: int = 12) -> nn.Module:
    """Return TC-ResNet8: the coefficients of a frame are channels, time is the width."""
    blocks = [TemporalBlock(i, o) for i, o in ((16, 24), (24, 32), (32, 48))]
    return nn.Sequential(nn.Conv2d(40, 16, (1, 3), padding=(0, 1), bias=False), *blocks,
                         pooled(48, classes))  # fmt: skip


class BroadcastBlock(nn.Module):
    """BC-ResNet's block: frequencies convolved, their mean along time, added to all of them."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.high = nn.Sequential(nn.Conv2d(c, c, (3, 1), padding=(1, 0), groups=c, bias=False),
                                  nn.BatchNorm2d(c))  # fmt: skip
        self.low = nn.Sequential(
            nn.Conv2d(c, c, (1, 3), padding=(0, 1), groups=c, bias=False), nn.BatchNorm2d(c),
            nn.SiLU(), nn.Conv2d(c, c, 1, bias=False),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        high = self.high(x)
        low = self.low(high.mean(2, keepdim=True))
        return F.relu(x + high + low)


def bc_resnet(classes: int = 12) -> nn.Module:
    """Return a small BC-ResNet: a strided stem, two blocks, a head."""
    return nn.Sequential(conv_bn(1, 16, 5, (2, 1)), BroadcastBlock(16), BroadcastBlock(16),
                         conv_bn(16, 24, 1), pooled(24, classes))  # fmt: skip
