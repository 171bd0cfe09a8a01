"""A detector on MobileNetV1 blocks; at its width of 0.25 and 160x160x1 19 M MACs, 84 k weights.

Blocks: Howard et al., arXiv 1704.04861, with fewer repetitions: 8, 16, 32, 64 and 128 channels at
width 0.25. The joint and the heads: ``_detector.py``. For other widths: ``det_mobilenetv1@0.5``.
"""

from __future__ import annotations

from torch import nn

from nestnet.models._detector import CLASSES as CLASSES
from nestnet.models._detector import INPUT_SHAPE as INPUT_SHAPE
from nestnet.models._detector import STRIDES, Detector, conv, scaled, separable
from nestnet.models._sizes import check_sides

_FINE = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1))
_COARSE = ((512, 2), (512, 1), (512, 1))
"""Output channels at width 1 and stride of every separable block."""


def factory(input_shape: tuple[int, int, int], classes: int, width: float = 0.25) -> nn.Module:
    """Return an untrained detector for images of ``input_shape`` (h, w, c)."""
    check_sides(input_shape, STRIDES[-1])
    channels = scaled(32, width)
    fine: list[nn.Module] = [conv(input_shape[2], channels, 3, 2)]
    coarse: list[nn.Module] = []
    for blocks, into in ((_FINE, fine), (_COARSE, coarse)):
        for out, stride in blocks:
            into.append(separable(channels, scaled(out, width), stride))
            channels = scaled(out, width)
    maps = (scaled(_FINE[-1][0], width), channels)
    neck = scaled(256, width)
    return Detector(nn.Sequential(*fine), nn.Sequential(*coarse), maps, neck, classes)
