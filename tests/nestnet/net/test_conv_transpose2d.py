"""Transposed convolutions: any size becomes phases of a convolution and moves."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from codegen.errors import UserError
from codegen.graph.ir import NEVER, Level
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.rearrange import Rearrange
from codegen.graph.verify import verify
from nestnet.exporting.exporter import export
from nestnet.frontend.tracing import trace
from nestnet.net.ops.conv_transpose2d import Phases
from nestnet.net.quantize import quantize
from tests.support.exports import PROVENANCE, levels, prepared
from tests.support.nets import head


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 7])
def test_phases_along_an_axis(stride: int, kernel: int) -> None:
    """Computed as a convolution with stride 1 whose channels are the phases, in turn."""
    compared = 0
    for extent, padding, more in itertools.product((1, 2, 5), range(4), range(stride)):
        out = (extent - 1) * stride - 2 * padding + kernel + more
        if out < 1:
            continue
        x = torch.randn(1, 1, extent, dtype=torch.float64)
        weight = torch.randn(1, 1, kernel, dtype=torch.float64)
        wanted = F.conv_transpose1d(x, weight, None, stride, padding, more).flatten()
        phases = Phases.of(extent, out, kernel, stride, padding)
        rows = [
            [0.0 if tap is None else float(weight[0, 0, tap]) for tap in taps]
            for taps in phases.taps
        ]
        before, after = phases.padding
        assert 0 <= before < phases.kernel and 0 <= after < phases.kernel
        made = F.conv1d(F.pad(x, (before, after)), torch.tensor(rows, dtype=x.dtype)[:, None])
        assert made.shape[2] == phases.made(extent)
        got = made[0].T.flatten()[:out]
        assert len(got) == out
        torch.testing.assert_close(got, wanted)
        compared += 1
    assert compared >= 5


def exported(layer: nn.Module, size: tuple[int, int] = (5, 7)) -> tuple[list[object], Conv2D]:
    """Return the operators of a network with ``layer`` and its convolution."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 1), layer, *head(4))
    net = trace(module, (*size, 3))
    quantize(net, np.random.default_rng(0).integers(0, 256, (9, *size, 3), dtype=np.uint8))
    ops = verify(export(net, (Level("l0", 0.0, None, None),), PROVENANCE, "net")).ops
    conv = ops[1]
    assert isinstance(conv, Conv2D)
    return [type(op) for op in ops[2:-2]], conv


def test_stride_as_large_as_the_kernel_has_no_gaps() -> None:
    moves, conv = exported(nn.ConvTranspose2d(8, 4, 2, 2))
    assert moves == [Rearrange]
    assert conv.weight.shape == (16, 1, 1, 8) and conv.group_level is None


def test_stride_1_is_a_convolution_with_its_kernel_turned() -> None:
    layer = nn.ConvTranspose2d(8, 4, 3, 1, 1)
    moves, conv = exported(layer)
    assert moves == []
    assert conv.weight.shape == (4, 3, 3, 8) and conv.padding == (1, 1, 1, 1)
    turned = layer.weight.detach().permute(1, 2, 3, 0).flip(1, 2).numpy()
    steps = conv.weight * (np.abs(turned).max(axis=(1, 2, 3)) / 127)[:, None, None, None]
    assert np.allclose(steps, turned, atol=0.01)


def test_what_a_phase_has_not_is_in_no_level() -> None:
    moves, conv = exported(nn.ConvTranspose2d(8, 4, 4, 2, 1))
    assert moves == [Rearrange]
    assert conv.weight.shape == (16, 3, 3, 8) and conv.group_level is not None
    assert (conv.group_level != NEVER).sum() == 4 * 4 * 4 * 2
    assert exported(nn.ConvTranspose2d(8, 4, 3, 2, 1))[0] == [Rearrange, Rearrange]


def test_pruning_prunes_the_users_weight() -> None:
    """Level maps and parameters have the layer's own elements; gradients reach them."""
    module = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ConvTranspose2d(8, 4, 3, 2, 1, 1), *head(4))
    net, _ = prepared(module, (5, 7, 3), 4, seed=1, dense_layers=("0",))
    layer = net.weighted()["1"]
    assert layer.weight.shape == (4, 8, 3, 3) and layer.positions == 5 * 7
    graph = export(net, levels(), PROVENANCE, "net")
    conv = graph.ops[1]
    assert isinstance(conv, Conv2D) and conv.group_size == 4
    for level in range(3):
        mask = layer.module.mask(level)
        assert mask is not None
        assert conv.macs(graph, level) == int(mask.sum()) * 5 * 7
    net.set_quantize(False)
    net(torch.randn(2, 3, 5, 7), 2).square().sum().backward()
    assert layer.weight.grad is not None and bool((layer.weight.grad != 0).any())


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.ConvTranspose2d(8, 4, 2, 2, groups=4), "in groups; got 4 groups"),
        (nn.ConvTranspose2d(8, 4, 2, 2, dilation=2), "dilated transposed convolution"),
    ],
)
def test_what_is_refused(layer: nn.Module, words: str) -> None:
    with pytest.raises(UserError, match=words):
        exported(layer)
