"""CNN of samples in a row: four 1-D convolutions, for windows of sensors (0.41 M MACs on 128x6)."""

from __future__ import annotations

from torch import Tensor, nn

INPUT_SHAPE = (1, 128, 6)
"""Window the model was designed for: 128 samples of 6 channels, 2.56 s of an accelerometer and a
gyroscope at 50 Hz."""

CLASSES = 6

_LAYERS = ((16, 5, 2), (32, 5, 2), (64, 3, 2), (64, 3, 1))
"""Channels, kernel and stride."""


class Cnn1d(nn.Module):
    """Convolutions with batch norm, mean over time, linear layer."""

    def __init__(self, channels: int, classes: int, width: float) -> None:
        """Build the network for inputs of ``channels`` channels."""
        super().__init__()
        layers: list[nn.Module] = []
        for out, kernel, stride in _LAYERS:
            out = max(4, round(out * width / 4) * 4)
            layers += [
                nn.Conv1d(channels, out, kernel, stride, padding=kernel // 2, bias=False),
                nn.BatchNorm1d(out),
                nn.ReLU(),
            ]
            channels = out
        self.body = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool1d(1)
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, samples) to logits (n, classes)."""
        logits: Tensor = self.head(self.pool(self.body(x)).flatten(1))
        return logits


def factory(input_shape: tuple[int, int, int], classes: int, width: float = 1.0) -> nn.Module:
    """Return an untrained network for windows of ``input_shape`` (1, samples, channels)."""
    if input_shape[0] != 1:
        raise ValueError("samples in a row, (1, samples, channels)")
    return Cnn1d(input_shape[2], classes, width)
