"""Linear layers of every remainder of 4 outputs build without a warning and give the same bits."""

from __future__ import annotations

import pytest

from codegen.graph.builder import GraphBuilder
from codegen.graph.synthetic import random_images
from codegen.measure import compare
from tests.support.projects import Build

BOARDS = ("host", "qemu_m4")


@pytest.mark.parametrize("board_id", BOARDS)
@pytest.mark.parametrize("out_c", [32, 13, 10, 7])
def test_dense_linear_of_any_output_count(build: Build, board_id: str, out_c: int) -> None:
    """gcc 12 warned of an endless tail loop where the outputs are a multiple of 4."""
    net = GraphBuilder((1, 1, 64), 1, out_c, f"linear_{out_c}")
    net.linear(net.linear("input", out_c, relu=True), 12)
    graph = net.graph()
    images = random_images(graph, 5, seed=1)
    made = compare.compare(build(graph, board_id), graph, (images,), [0] * 5, range(1))
    assert made.bit_exact, "\n".join(map(str, made.differences))
