"""Synthetic graphs are valid, reproducible, varied, and use the int8 range."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph import reference
from codegen.graph.builder import GraphBuilder
from codegen.graph.ops import OPERATORS
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.graph.synthetic import (
    conv_layer_graph,
    linear_layer_graph,
    random_graph,
    random_images,
)
from codegen.graph.verify import verify


def test_all_operators_and_shapes_occur() -> None:
    kinds: Counter[str] = Counter()
    groups, strides, kernels, levels = set(), set(), set(), set()
    for seed in range(160):
        graph = verify(random_graph(seed))
        levels.add(len(graph.levels))
        for op in graph.ops:
            kinds[type(op).__name__] += 1
            if isinstance(op, Conv2D):
                kinds["residual"] += op.residual is not None
                kinds["depthwise"] += op.groups == op.weight.shape[0] > 1
                kinds["grouped"] += 1 < op.groups < op.weight.shape[0]
                kinds["ragged"] += bool(
                    op.group_level is not None and op.weight.shape[3] % op.group_size
                )
                groups.add(op.group_size if op.group_level is not None else 0)
                strides.add(op.stride)
                kernels.add(op.weight.shape[1:3])
    others = {"residual", "depthwise", "grouped", "ragged"}
    assert set(kinds) == set(OPERATORS) | others and min(kinds.values()) >= 10, kinds
    assert groups == {0, 1, 2, 4} and levels == {1, 2, 3, 4}
    assert len(strides) == 4 and len(kernels) >= 10


def test_same_seed_same_bytes_and_another_seed_another_graph() -> None:
    first = nestfile.to_bytes(random_graph(5))
    assert first == nestfile.to_bytes(random_graph(5)) != nestfile.to_bytes(random_graph(6))


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("group", [1, 2, 4])
def test_outputs_are_not_saturated(relu: bool, group: int) -> None:
    graph = conv_layer_graph(16, 16, 32, 32, group=group, relu=relu)
    images = random_images(graph, 8, 1)
    for level in range(4):
        out = reference.run_one(graph, images, level)
        assert (out == 127).mean() < 0.02
        assert len(np.unique(out)) > 100
        assert (out == -128).mean() < (0.6 if relu else 0.02)


def test_densities_are_met_and_groups_are_whole() -> None:
    graph = linear_layer_graph(64, 25, group=4, densities=(0.1, 0.5))
    op = graph.ops[0]
    assert isinstance(op, Linear) and op.group_level is not None
    assert float((op.group_level <= 0).mean()) == pytest.approx(0.1, abs=0.01)
    assert float((op.group_level <= 1).mean()) == pytest.approx(0.5, abs=0.01)
    assert [level.sparsity for level in graph.levels] == pytest.approx([0.9, 0.5], abs=0.01)


def test_an_empty_builder_is_refused() -> None:
    with pytest.raises(UserError, match="empty graph"):
        GraphBuilder((1, 1, 1), 1, 0).graph()
