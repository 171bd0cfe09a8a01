"""Group, instance and layer norms: sets, bits, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codegen.errors import UserError
from codegen.graph.ops.normalize import Normalize
from nestnet.exporting.exporter import export
from nestnet.frontend.capture import capture
from nestnet.frontend.tracing import trace
from nestnet.net.ops.normalize import Normalize as Stage
from tests.support.exports import DENSITIES, PROVENANCE, levels, prepared, stage_differences
from tests.support.nets import CASES, head, trained_like

SHAPE = (7, 5, 3)


class Length(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.norm(dim=1, keepdim=True)


def test_normalizations_are_the_trained_network() -> None:
    """Under settled ranges fake quantization has the integer operator's bits, at every level."""
    case = next(case for case in CASES if case.name == "normalized")
    net, pixels = prepared(trained_like(case), case.shape, 2, seed=3)
    graph = export(net, levels(), PROVENANCE, "net")
    found = {op.name: op for op in graph.ops if isinstance(op, Normalize)}
    assert {(op.positions, op.channels, op.center) for op in found.values()} == {
        (15, 2, True), (15, 5, True), (12, 1, True), (1, 11, True), (1, 13, False),
    }  # fmt: skip
    for level in range(len(DENSITIES)):
        differences = dict(stage_differences(net, graph, pixels, level))
        assert all(differences[name].max() == 0 for name in found)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.InstanceNorm2d(5, track_running_stats=True), "running statistics.*BatchNorm2d"),
        (Length(), "not the divisor of its vector"),
        (nn.LayerNorm((5, 5, 3)), "layer norm over positions.*GroupNorm"),
    ],
)
def test_what_it_cannot_be_is_refused(layer: nn.Module, words: str) -> None:
    with pytest.raises(UserError, match=words):
        capture(nn.Sequential(nn.Conv2d(3, 5, 3), layer, *head(5)), SHAPE)


def test_gradients_are_those_of_the_real_normalization() -> None:
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.GroupNorm(2, 6), nn.Conv2d(6, 4, 3), *head(4))
    net, pixels = prepared(module, SHAPE, 2, seed=3)
    x = torch.from_numpy(pixels.astype(np.float32)).permute(0, 3, 1, 2) / 64 - 2
    net(x).square().sum().backward()
    gradient = next(net.parameters()).grad
    assert gradient is not None and bool(gradient.abs().sum() > 0)


class Faint(nn.Module):
    """Root mean squares of hardly anything, to which float32's epsilon is added, as a module and as
    a function."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.last = nn.Conv2d(3, 5, 3), nn.RMSNorm(5), nn.Conv2d(5, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x)) * 1e-4
        x = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = F.rms_norm((self.last(x) * 1e-4).permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2)
        return x.mean((2, 3))


def test_an_epsilon_that_is_not_given_is_that_of_float32() -> None:
    """Also where the module is checked in float64, whose own is so much smaller."""
    net = trace(Faint(), SHAPE)
    norms = [stage for stage in net.network.stages if isinstance(stage, Stage)]
    assert [stage.epsilon for stage in norms] == [torch.finfo(torch.float32).eps] * 2
