"""An autoencoder of images: through a map of an eighth of the size and back; finds what is odd."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from nestnet.models._sizes import check_sides

INPUT_SHAPE = (32, 32, 1)
CLASSES = 1
WIDTHS = (16, 24, 8)
"""Of the encoder's stages, each half as large as the one before; the last one is the code."""


class Autoencoder(nn.Module):
    """Gives images back; height and width have to be multiples of 8."""

    def __init__(self, channels: int) -> None:
        """Build the network for images of ``channels`` channels."""
        super().__init__()
        before = (channels, *WIDTHS)
        self.down = nn.ModuleList(
            _conv(before[stage], width, stride=2) for stage, width in enumerate(WIDTHS)
        )
        upper = (*WIDTHS[-2::-1], WIDTHS[0])
        below = (WIDTHS[-1], *upper)
        self.up = nn.ModuleList(
            _conv(below[stage], width, stride=1) for stage, width in enumerate(upper)
        )
        self.head = nn.Conv2d(WIDTHS[0], channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, h, w) to the same shape."""
        for stage in self.down:
            x = stage(x)
        for stage in self.up:
            x = stage(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        made: Tensor = self.head(x)
        return made


def _conv(channels: int, width: int, stride: int) -> nn.Module:
    conv = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())


def factory(input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Return an untrained network for images of ``input_shape`` (h, w, c).

    Raises:
        ValueError: a side that is no multiple of 8.
    """
    check_sides(input_shape, 8)
    return Autoencoder(input_shape[2])
