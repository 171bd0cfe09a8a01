"""SSDLite on MobileNetV2: separable heads on up to six maps, with three or six anchors per cell.

Sources: Sandler et al., arXiv 1801.04381, table 2 and section 6.2; Liu et al., arXiv 1512.02325. As
in TensorFlow's object detection (``ssd_mobilenet_v2_feature_extractor.py``), heads read what the
block that goes from stride 16 to 32 has widened, the last 1280 channels, and further blocks that
halve the map; the width scales all of them. At 320x320 maps are 20, 10, 5, 3, 2 and 1 cells high.
Images below 256 pixels also have a head on what the block from stride 8 to 16 has widened, which
makes the same maps of 160x160. Width is 0.35; for others: ``ssdlite_mobilenetv2@0.5``. What
differs from SSD: ADR 0028.
"""

from __future__ import annotations

from torch import Tensor, nn

from nestnet.models._detector import CLASSES as CLASSES
from nestnet.models._detector import FIRST_LOGIT, conv, scaled, separable
from nestnet.models._detector import INPUT_SHAPE as INPUT_SHAPE
from nestnet.models.det_mobilenetv2 import Inverted

_STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip
"""Expansion, output channels at width 1, repetitions, and stride of the first of them."""
_LAST = 1280
_EXTRA = (512, 256, 256, 128)
"""Output channels at width 1 of the blocks behind the backbone."""
_MAPS = 6
"""Most maps with a head; none follows one of a single cell."""
_SMALL_INPUT_PIXELS = 256
"""Images with a shorter side below this have a head at stride 8, too."""
_FIRST_ANCHORS, _ANCHORS = 3, 6
"""Of a cell of the finest map, and of the others."""
_FIRST_DISTANCE = 1.0
"""Bias of distances: at first every box is its anchor."""


class Predictor(nn.Module):
    """A depthwise and a pointwise convolution each for class scores and for distances."""

    def __init__(self, channels: int, anchors: int, classes: int) -> None:
        """Build the head of one map."""
        super().__init__()
        scores = nn.Conv2d(channels, anchors * classes, 1)
        boxes = nn.Conv2d(channels, anchors * 4, 1)
        nn.init.normal_(scores.weight, std=0.01)
        nn.init.constant_(scores.bias, FIRST_LOGIT)  # type: ignore[arg-type]
        nn.init.constant_(boxes.bias, _FIRST_DISTANCE)  # type: ignore[arg-type]
        self.scores = nn.Sequential(conv(channels, channels, 3, groups=channels), scores)
        self.boxes = nn.Sequential(conv(channels, channels, 3, groups=channels), boxes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (n, c, h, w) to scores (n, anchors * classes, h, w), boxes (n, anchors * 4, h, w)."""
        return self.scores(x), self.boxes(x)


class SSDLite(nn.Module):
    """Parts of a backbone one behind the other, and a head on what each returns."""

    def __init__(self, parts: list[nn.Sequential], channels: list[int], classes: int) -> None:
        """Build heads on ``parts``, which return so many ``channels``."""
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.heads = nn.ModuleList(
            Predictor(count, _ANCHORS if index else _FIRST_ANCHORS, classes)
            for index, count in enumerate(channels)
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map (n, c, h, w) to class scores and distances of every map, the finest one first."""
        found = {}
        for index, (part, head) in enumerate(zip(self.parts, self.heads, strict=True)):
            x = part(x)
            found[f"scores_{index}"], found[f"boxes_{index}"] = head(x)
        return found


def factory(input_shape: tuple[int, int, int], classes: int, width: float = 0.35) -> nn.Module:
    """Return an untrained detector for images of ``input_shape`` (h, w, c)."""
    height, across, colours = input_shape
    is_small = min(height, across) < _SMALL_INPUT_PIXELS
    channels = scaled(32, width)
    open_part: list[nn.Module] = [conv(colours, channels, 3, 2)]
    parts: list[nn.Sequential] = []
    found: list[int] = []
    stride = 2
    for expansion, out, count, first in _STAGES:
        for index in range(count):
            block = Inverted(channels, scaled(out, width), first if index == 0 else 1, expansion)
            steps: list[nn.Module] = [block]
            if index == 0 and first == 2:
                stride *= 2
                if stride == 32 or (stride == 16 and is_small):
                    parts.append(nn.Sequential(*open_part, block.body[0]))
                    found.append(expansion * channels)
                    open_part, steps = [], list(block.body.children())[1:]
            open_part += steps
            channels = scaled(out, width)
    parts.append(nn.Sequential(*open_part, conv(channels, scaled(_LAST, width))))
    found.append(scaled(_LAST, width))
    side = -(-max(height, across) // stride)
    for out in _EXTRA:
        if len(parts) == _MAPS or side == 1:
            break
        inner, channels = scaled(out // 2, width), scaled(out, width)
        parts.append(nn.Sequential(conv(found[-1], inner), separable(inner, channels, 2)))
        found.append(channels)
        side = -(-side // 2)
    return SSDLite(parts, found, classes)
