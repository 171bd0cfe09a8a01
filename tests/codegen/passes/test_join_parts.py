"""Which maps are joined as they are read, and of what."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from codegen.graph import reference
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.joined import JoinedConv, Part, Steps
from codegen.graph.synthetic import random_graph, random_inputs
from codegen.graph.verify import verify
from codegen.passes.join_parts import joinable, joined
from tests.support.joined_nets import all_joined, enlarged, parts_graph

H, W, C = 4, 5, 6
ROW = W * C


def parts_of(graph: Graph) -> tuple[Part, ...]:
    """Return the parts of the last convolution."""
    made = verify(all_joined(graph))
    op = made.ops[-1]
    assert isinstance(op, JoinedConv) and op.map.name not in {value.name for value in made.values}
    return op.parts


@pytest.mark.parametrize(
    ("shape", "offset", "loops", "rows", "columns"),
    [
        ((8, 15, 6), 0, [(4, 30), (2, 0), (5, 6), (3, 0), (6, 1)], (2, 30, 0), (3, 6, 0)),
        ((4, 5, 2), 3, [(4, 30), (5, 6), (2, 1)], (1, 30, 0), (1, 6, 0)),
        ((4, 5, 2), 3, [(20, 6), (2, 1)], (1, 30, 0), (1, 6, 0)),
        ((4, 5, 6), 24, [(4, 30), (5, -6), (6, 1)], (1, 30, 0), (1, -6, 0)),
        ((4, 5, 6), 0, [(120, 1)], (1, 30, 0), (1, 6, 0)),
        ((2, 2, 6), 36, [(2, 60), (2, 12), (6, 1)], (1, 60, 0), (1, 12, 0)),
        ((4, 10, 3), 0, [(4, 30), (5, 6), (2, 3), (3, 1)], (1, 30, 0), (1, 3, 0)),
        ((4, 10, 3), 0, [(4, 30), (2, 3), (5, 6), (3, 1)], (1, 30, 0), (5, 3, 6)),
        ((1, 20, 6), 0, [(120, 1)], (1, 0, 0), (1, 6, 0)),
        ((4, 5, 1), 2, [(4, 30), (5, 6)], (1, 30, 0), (1, 6, 0)),
        ((8, 10, 1), 1, [(4, 30), (2, 2), (5, 6), (2, 1)], (2, 30, 2), (2, 6, 1)),
        ((5, 4, 6), 0, [(5, 6), (4, 30), (3, 2), (2, 1)], (1, 6, 0), (1, 30, 0)),
    ],
)
def test_a_rearrangement_is_read_by_rows(
    shape: tuple[int, int, int],
    offset: int,
    loops: list[tuple[int, int]],
    rows: tuple[int, int, int],
    columns: tuple[int, int, int],
) -> None:
    net = GraphBuilder((H, W, C), 2, 1)
    net.conv(net.rearrange("input", shape, offset, loops), 3, (1, 2))
    wanted = Part("input", offset, Steps(*rows), Steps(*columns), shape[2])
    assert parts_of(net.graph()) == (wanted,)


@pytest.mark.parametrize(
    ("shape", "loops"),
    [
        ((4, 5, 6), [(20, 6), (2, 1), (3, 2)]),  # shuffled channels
        ((5, 6, 4), [(30, 1), (4, 30)]),  # channels from the height
        ((2, 3, 20), [(3, 2), (2, 1), (20, 6)]),
        ((8, 5, 6), [(2, 30), (2, 60), (2, 0), (30, 1)]),  # three loops of rows
    ],
)
def test_other_orders_are_made(shape: tuple[int, int, int], loops: list[tuple[int, int]]) -> None:
    net = GraphBuilder((H, W, C), 2, 1)
    net.conv(net.rearrange("input", shape, 0, loops), 3, (1, 2))
    assert joinable(net.graph()) == ()


def test_concatenations_and_what_they_join_are_flattened() -> None:
    net = GraphBuilder((H, W, C), 2, 1)
    inner = net.conv("input", 7, (1, 1), relu=False)
    large = net.concat([enlarged(net, "input", 2, 2), enlarged(net, inner, 2, 2)])
    skip = net.conv(net.rearrange(inner, (8, 10, 7), 0, [(560, 0)]), 3, (1, 1), relu=False)
    net.conv(net.concat([skip, large, skip]), 5, (3, 3))
    found = [(part.source, part.rows.repeat, part.channels) for part in parts_of(net.graph())]
    assert found == [(skip, 1, 3), ("input", 2, 6), (inner, 2, 7), (skip, 1, 3)]


def read_twice(net: GraphBuilder) -> Graph:
    both = net.concat(["input", "input"])
    return net.add(net.conv(both, 4, (1, 1)), net.conv(both, 4, (1, 1))) and net.graph()


def its_own_residual(net: GraphBuilder) -> Graph:
    both = net.concat(["input", "input"])
    return net.conv(both, 2 * C, (1, 1), residual=both) and net.graph()


def an_output(net: GraphBuilder) -> Graph:
    both = net.concat([net.conv("input", 4, (1, 1), relu=False), "input"])
    return net.graph({both: "map", net.conv(both, 4, (1, 1)): "map"})


def along_the_width(net: GraphBuilder) -> Graph:
    return net.conv(net.concat(["input", "input"], 1), 4, (1, 1)) and net.graph()


def grouped(net: GraphBuilder) -> Graph:
    return net.conv(net.concat(["input", "input"]), 4, (1, 1), groups=2) and net.graph()


def of_too_many(net: GraphBuilder) -> Graph:
    return net.conv(net.concat(["input"] * 9), 4, (1, 1)) and net.graph()


def of_a_map(net: GraphBuilder) -> Graph:
    return net.conv("input", 4, (1, 1)) and net.graph()


@pytest.mark.parametrize(
    "make",
    [read_twice, its_own_residual, an_output, along_the_width, grouped, of_too_many, of_a_map],
)
def test_what_is_needed_elsewhere_or_in_another_order_is_made(
    make: Callable[[GraphBuilder], Graph],
) -> None:
    assert joinable(make(GraphBuilder((H, W, C), 2, 1))) == ()


def test_eight_parts_are_joined() -> None:
    net = GraphBuilder((H, W, C), 2, 1)
    net.conv(net.concat(["input"] * 8), 4, (1, 1))
    assert len(parts_of(net.graph())) == 8


@pytest.mark.parametrize("make", [parts_graph, *(lambda s=s: random_graph(s) for s in range(20))])
def test_no_bit_changes(make: Callable[[], Graph]) -> None:
    graph = make()
    names = joinable(graph)
    assert names or make is not parts_graph
    inputs = random_inputs(graph, 2, 1)
    for chosen in {names, names[:1], names[1:]}:
        made = verify(joined(graph, chosen), "join_parts")
        for level in range(len(graph.levels)):
            wanted = reference.run(graph, inputs, level)
            for got, right in zip(reference.run(made, inputs, level), wanted, strict=True):
                assert np.array_equal(got, right)
