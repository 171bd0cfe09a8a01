"""Passes change the graph's shape, never its results."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from codegen.graph import reference
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.graph.ops.reshape import Reshape
from codegen.graph.serialize import encode
from codegen.graph.synthetic import random_graph, random_images
from codegen.graph.verify import VerifyError, verify
from codegen.lower import lowering
from codegen.lower.lowering import lower
from codegen.lower.pipeline import on_graph
from codegen.passes.flatten_pointwise import best_view, flatten_pointwise
from codegen.passes.fold_reshape import fold_reshape
from codegen.passes.rewrite import fresh_name
from codegen.target.target import resolve


def assert_same_results(before: Graph, after: Graph, seed: int) -> None:
    """Compare the outputs of all levels on a few images."""
    images = random_images(before, 2, seed)
    for level in range(len(before.levels)):
        assert np.array_equal(
            reference.run_one(before, images, level), reference.run_one(after, images, level)
        )


def kinds(graph: Graph) -> list[str]:
    """Return the operators' kinds in order."""
    return [type(op).__name__ for op in graph.ops]


@pytest.mark.parametrize("step", [fold_reshape, flatten_pointwise])
@pytest.mark.parametrize("seed", range(25))
def test_each_pass_keeps_results_and_its_argument(
    step: Callable[[Graph], Graph], seed: int
) -> None:
    graph = random_graph(seed)
    record = encode(graph)[0]
    after = verify(step(graph), step.__name__)
    assert encode(graph)[0] == record
    assert_same_results(graph, after, seed)
    assert (after.inputs, after.outputs) == (graph.inputs, graph.outputs)
    assert after.only_output == graph.only_output


@pytest.mark.parametrize("seed", range(25))
def test_the_pipeline_is_idempotent(seed: int) -> None:
    once = lower(random_graph(seed), resolve("host")).graph
    twice = lower(once, resolve("host")).graph
    assert kinds(once) == kinds(twice)
    assert [value.shape for value in once.values] == [value.shape for value in twice.values]


def test_flatten_before_linear_disappears() -> None:
    builder = GraphBuilder((3, 5, 2), 1, 0)
    conv = builder.conv("input", 3, (3, 3))
    first = builder.reshape(conv, (1, 3, 3))
    second = builder.reshape(first, (1, 1, 9))
    builder.linear(second, 4)
    graph = builder.graph()
    after = verify(fold_reshape(graph))
    assert kinds(after) == ["Conv2D", "Linear"]
    assert isinstance(after.ops[1], Linear) and after.ops[1].input == conv
    assert_same_results(graph, after, 1)


def test_needed_reshapes_stay_once() -> None:
    builder = GraphBuilder((4, 4, 2), 1, 0)
    conv = builder.conv("input", 3, (1, 1))
    flat = builder.reshape(conv, (1, 16, 3))
    left = builder.conv(flat, 3, (1, 3), padding=(0, 1, 0, 1))
    again = builder.reshape(conv, (1, 16, 3))
    right = builder.conv(again, 3, (1, 3), padding=(0, 1, 0, 1))
    total = builder.add(left, right)
    builder.reshape(total, (4, 4, 3))
    graph = builder.graph()
    after = verify(fold_reshape(graph))
    assert kinds(after).count("Reshape") == 2
    assert isinstance(after.ops[-1], Reshape) and (after.ops[-1].output,) == graph.outputs
    assert_same_results(graph, after, 2)


def test_pointwise_chain_is_flattened_with_one_view_each_side() -> None:
    builder = GraphBuilder((7, 6, 5), 2, 4)
    first = builder.conv("input", 8, (1, 1), group=4, densities=[0.3, 0.8])
    second = builder.conv(first, 8, (1, 1), group=4, densities=[0.3, 0.8], residual=first)
    builder.conv(second, 3, (3, 3))
    graph = builder.graph()
    after = lower(graph, resolve("host")).graph
    assert kinds(after) == ["Reshape", "Conv2D", "Conv2D", "Reshape", "Conv2D"]
    views = {after.value(op.output).shape[:2] for op in after.ops if isinstance(op, Conv2D)}
    assert views == {(1, 42), (5, 4)}
    assert_same_results(graph, after, 3)


def test_other_convolutions_are_left_alone() -> None:
    builder = GraphBuilder((6, 6, 4), 1, 4)
    value = builder.conv("input", 4, (1, 1), stride=(2, 2))
    value = builder.conv(value, 4, (1, 1), groups=4)
    builder.conv(value, 4, (3, 1))
    graph = builder.graph()
    assert flatten_pointwise(graph).ops == graph.ops


@pytest.mark.parametrize("height", [1, 2, 5, 7, 13, 16])
@pytest.mark.parametrize("width", [1, 3, 4, 7, 16])
@pytest.mark.parametrize("channels", [1, 64, 1024])
def test_views_cover_the_map_waste_least_and_bound_scratch(
    height: int, width: int, channels: int
) -> None:
    new_height, new_width = best_view(height, width, channels)
    positions = height * width
    assert new_height * new_width == positions
    tiles = {w: positions // w * -(-w // 4) for w in range(1, positions + 1) if positions % w == 0}
    assert tiles[new_width] == min(tiles.values())
    fitting = [
        w
        for w, count in tiles.items()
        if count == tiles[new_width] and 2 * w * channels <= max(2048, 2 * width * channels)
    ]
    assert new_width == max(
        fitting, default=min(w for w, count in tiles.items() if count == tiles[new_width])
    )


@pytest.mark.parametrize(
    ("height", "width", "channels", "view"),
    [
        (6, 6, 128, (6, 6)),  # 12 columns would not fit in 2 KB
        (24, 24, 32, (24, 24)),  # 32 fit, but need tiles of two as well
        (25, 5, 64, (5, 25)),  # 125 columns save 2 % and take five times the RAM
        (1, 7, 8, (1, 7)),
    ],
)
def test_dense_views_suit_tiles_of_three(
    height: int, width: int, channels: int, view: tuple[int, int]
) -> None:
    assert best_view(height, width, channels, dense=True) == view


def test_a_broken_pass_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def drop_last(graph: Graph) -> Graph:
        return Graph(
            graph.name,
            graph.inputs,
            graph.outputs,
            graph.values,
            graph.ops[:-1],
            graph.levels,
            graph.provenance,
        )

    monkeypatch.setattr(lowering, "STEPS", (on_graph(fold_reshape), on_graph(drop_last)))
    with pytest.raises(VerifyError, match="after drop_last"):
        lower(random_graph(1), resolve("host"))


def test_fresh_names_never_collide() -> None:
    taken = {"a", "a_2"}
    names = [fresh_name(taken, "a") for _ in range(3)]
    assert names == ["a_3", "a_4", "a_5"]
