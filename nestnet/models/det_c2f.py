"""A detector on C2f blocks, whose every step is kept and joined, as in YOLOv8.

Source: the models of Ultralytics YOLOv8. One 1x1 convolution and a split into halves there are two
of half the channels here, which is the same. Width and depth are multipliers, 0.25 and 0.33 by
default: ``det_c2f@0.5x0.67``. Stages: ``det_csp.py``; the joint and the heads: ``_detector.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nestnet.models._detector import CLASSES as CLASSES
from nestnet.models._detector import INPUT_SHAPE as INPUT_SHAPE
from nestnet.models._detector import conv
from nestnet.models.det_csp import Bottleneck, backbone


class EveryStep(nn.Module):
    """Half of the channels through blocks, half around them; all intermediate maps are joined."""

    def __init__(self, channels: int, blocks: int) -> None:
        """Build the stage."""
        super().__init__()
        half = channels // 2
        self.around = conv(channels, half)
        self.through = conv(channels, half)
        self.blocks = nn.ModuleList(Bottleneck(half, 3) for _ in range(blocks))
        self.join = conv((2 + blocks) * half, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, h, w) to the same shape."""
        kept = [self.around(x), self.through(x)]
        for block in self.blocks:
            kept.append(block(kept[-1]))
        y: Tensor = self.join(torch.cat(kept, 1))
        return y


def factory(
    input_shape: tuple[int, int, int], classes: int, width: float = 0.25, depth: float = 0.33
) -> nn.Module:
    """Return an untrained detector for images of ``input_shape`` (h, w, c)."""
    return backbone(input_shape, classes, width, depth, EveryStep)
