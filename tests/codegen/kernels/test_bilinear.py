"""Bilinear resizing: where outputs lie, and that their weights add up to one."""

from __future__ import annotations

import numpy as np
import pytest

from codegen import kernels
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.ops.bilinear import Bilinear
from codegen.target.target import resolve
from tests.support import naive


def resized(before: tuple[int, int], after: tuple[int, int], corners: int) -> Graph:
    """Return a network of a resizing of three channels."""
    net = GraphBuilder((*before, 3), 1, seed=1)
    net.bilinear("input", after, corners)
    return net.graph()


def run(graph: Graph, image: np.ndarray) -> np.ndarray:
    """Return the output for one image."""
    (op,) = graph.ops
    return op.run(graph, (image[None],), 0)[0]


@pytest.mark.parametrize("corners", [0, 1])
@pytest.mark.parametrize("after", [(1, 1), (2, 13), (5, 7), (10, 14), (11, 3), (17, 1)])
def test_the_reference_is_the_rule(after: tuple[int, int], corners: int) -> None:
    graph = resized((5, 7), after, corners)
    image = np.random.default_rng(2).integers(-128, 128, (5, 7, 3), dtype=np.int8)
    wanted = naive.run(graph, [image], 0)[graph.outputs[0]]
    assert np.array_equal(run(graph, image), wanted)


@pytest.mark.parametrize("corners", [0, 1])
@pytest.mark.parametrize("value", [-128, 0, 127])
def test_a_plain_map_stays_plain(value: int, corners: int) -> None:
    graph = resized((3, 5), (11, 13), corners)
    assert (run(graph, np.full((3, 5, 3), value, np.int8)) == value).all()


@pytest.mark.parametrize("corners", [0, 1])
def test_the_same_size_changes_nothing(corners: int) -> None:
    image = np.random.default_rng(3).integers(-128, 128, (5, 7, 3), dtype=np.int8)
    assert np.array_equal(run(resized((5, 7), (5, 7), corners), image), image)


def test_doubling_weighs_neighbours_by_quarters() -> None:
    image = np.repeat(np.array([[0, 40, 100]], np.int8)[..., None], 3, 2)
    doubled = run(resized((1, 3), (1, 6), 0), image)
    assert doubled[0, :, 0].tolist() == [0, 10, 30, 55, 85, 100]
    aligned = run(resized((1, 3), (1, 5), 1), image)
    assert aligned[0, :, 0].tolist() == [0, 20, 40, 70, 100]


def test_more_outputs_cost_more() -> None:
    costs = []
    for after in ((5, 7), (10, 7), (10, 14)):
        graph = resized((5, 7), after, 0)
        (candidate,) = kernels.candidates(graph.ops[0], graph, resolve("host"))
        assert isinstance(graph.ops[0], Bilinear)
        costs.append(candidate.draft().levels[0].cycles)
    assert costs == sorted(set(costs))
