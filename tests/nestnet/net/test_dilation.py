"""Dilated kernels: what lies between their elements takes no flash and no time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from codegen.graph.ir import NEVER
from codegen.graph.ops.conv2d import Conv2D
from nestnet.exporting.exporter import export
from nestnet.net.nested import NestedWeight
from nestnet.net.ops.common.weighted import laid_out
from tests.support.exports import PROVENANCE, levels, prepared
from tests.support.nets import head


def layer(weight: torch.Tensor, dilation: tuple[int, int], groups: int = 1) -> NestedWeight:
    """Return a layer that uses ``weight`` so."""
    made = NestedWeight(weight, None)
    made.dilation, made.groups = dilation, groups
    return made


def test_elements_lie_apart_and_no_level_has_what_is_between() -> None:
    weight = torch.arange(1, 31).reshape(1, 5, 2, 3).float()
    level_map = torch.arange(18).reshape(1, 3, 2, 3).to(torch.uint8)
    got, group_size, found = laid_out(layer(weight, (3, 2)), weight, 2, level_map)
    assert found is not None and group_size == 2
    assert got.shape == (1, 4, 5, 5) and found.shape == (1, 4, 5, 3)
    assert np.array_equal(got[:, ::3, ::2], weight.permute(0, 2, 3, 1).numpy())
    assert np.array_equal(found[:, ::3, ::2], level_map.permute(0, 2, 3, 1).numpy())
    assert np.count_nonzero(got) == 30
    assert np.count_nonzero(found != NEVER) == 18


@pytest.mark.parametrize(("in_c", "group"), [(1, 1), (2, 2), (3, 4), (8, 4), (13, 4)])
def test_a_layer_of_one_level_gets_groups_as_large_as_its_channels(in_c: int, group: int) -> None:
    weight = torch.ones(3, in_c, 1, 3)
    got, group_size, found = laid_out(layer(weight, (1, 5)), weight, 4, None)
    assert found is not None and group_size == group
    assert set(np.unique(found)) == {0, NEVER}
    assert np.count_nonzero(found == 0) == 3 * 3 * -(-in_c // group)
    assert got.shape == (3, 1, 11, in_c)


def test_a_depthwise_kernel_has_zeros() -> None:
    weight = torch.ones(5, 1, 3, 3)
    got, group_size, found = laid_out(layer(weight, (2, 2), groups=5), weight, 4, None)
    assert (group_size, found) == (1, None)
    assert got.shape == (5, 5, 5, 1) and got.sum() == 45


def test_an_undilated_kernel_stays_as_it_is() -> None:
    weight = torch.ones(5, 4, 3, 3)
    got, group_size, found = laid_out(layer(weight, (1, 1)), weight, 4, None)
    assert (group_size, found) == (1, None) and got.shape == (5, 3, 3, 4)


def test_multiply_accumulates_are_those_of_the_weights() -> None:
    """Pruned or not, whatever the distance."""
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=2, dilation=2), nn.Conv2d(8, 4, 3, dilation=(3, 1)), *head(4)
    )
    net, _ = prepared(module, (11, 7, 3), 4, seed=1, dense_layers=("0",))
    graph = export(net, levels(), PROVENANCE, "net")
    dense, nested = (op for op in graph.ops if isinstance(op, Conv2D))
    assert dense.macs(graph, 0) == dense.macs(graph, 2) == 11 * 7 * 8 * 9 * 3
    kept = net.weighted()["1"].module.mask(1)
    assert kept is not None
    assert nested.macs(graph, 1) == 5 * 5 * int(kept.sum())
