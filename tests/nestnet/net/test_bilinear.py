"""Bilinear upsampling as PyTorch spells it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codegen.errors import UserError
from codegen.graph import reference
from codegen.graph.ir import Level
from codegen.graph.ops.bilinear import Bilinear
from nestnet.exporting.exporter import export
from nestnet.frontend.tracing import trace
from nestnet.net.quantize import quantize
from tests.support.exports import PROVENANCE, int8
from tests.support.nets import head


class Resize(nn.Module):
    """A convolution and what follows."""

    def __init__(self, resize: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.resize = nn.Conv2d(3, 4, 1), resize
        self.head = nn.Sequential(*head(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.resize(self.conv(x)))


@pytest.mark.parametrize(
    ("resize", "size", "corners"),
    [
        (nn.Upsample(scale_factor=2, mode="bilinear"), (10, 14), 0),
        (nn.UpsamplingBilinear2d(scale_factor=3), (15, 21), 1),
        (lambda x: F.interpolate(x, (7, 3), mode="bilinear"), (7, 3), 0),
        (lambda x: F.interpolate(x, scale_factor=(2, 1), mode="bilinear"), (10, 7), 0),
        (lambda x: F.interpolate(x, (9, 1), mode="bilinear", align_corners=True), (9, 1), 1),
    ],
)
def test_what_is_exported_is_close(
    resize: Callable[[Tensor], Tensor], size: tuple[int, int], corners: int
) -> None:
    """To rounding and that of the weights what PyTorch makes of the same values."""
    torch.manual_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (11, 5, 7, 3), dtype=np.uint8)
    net = trace(Resize(resize), (5, 7, 3))
    quantize(net, images)
    graph = export(net, (Level("l0", 0.0, None, None),), PROVENANCE, "net")
    op = graph.ops[1]
    assert isinstance(op, Bilinear) and op.align_corners == corners
    before, after = graph.value(op.input), graph.value(op.output)
    assert after.shape == (*size, 4)
    assert (after.scale, after.zero_point) == (before.scale, before.zero_point)
    values = reference.run_values(graph, (int8(images),), 0)
    x = torch.from_numpy(values[op.input].astype(np.float64)).permute(0, 3, 1, 2)
    wanted = resize(x).permute(0, 2, 3, 1).numpy()
    assert np.abs(values[op.output] - wanted).max() <= 0.5 + 2 * 255 / 2**12


def test_a_factor_that_gives_no_whole_number_is_refused() -> None:
    with pytest.raises(UserError, match=r"no whole number of elements.*recompute_scale_factor"):
        trace(Resize(nn.Upsample(scale_factor=1.5, mode="bilinear")), (5, 7, 3))
