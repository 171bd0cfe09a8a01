"""MobileNetV1 0.25 for 96x96x3: the visual wake words network of MLPerf Tiny v1 (7.49 M MACs).

Source: MLCommons tiny benchmark, visual wake words reference: MobileNetV1 of width 0.25 with a stem
of stride 2 and two classes. For other widths: ``mobilenetv1_96@0.5``.
"""

from __future__ import annotations

from torch import nn

from nestnet.models.mobilenetv1 import MobileNetV1

INPUT_SHAPE = (96, 96, 3)
CLASSES = 2


def factory(input_shape: tuple[int, int, int], classes: int, width: float = 0.25) -> nn.Module:
    """Return an untrained network for images of ``input_shape`` (h, w, c), whatever their size."""
    return MobileNetV1(input_shape[2], classes, width, stem_stride=2)
