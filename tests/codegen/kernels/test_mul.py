"""Products and sums with a repeated operand: loops, memory."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest

from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.ops.max_pool import MaxPool
from codegen.kernels.common.in_place import ELEMENTWISE, repeat_overlap
from codegen.kernels.common.repeat import Repeat, repeat
from codegen.lower.lowering import lower
from codegen.target.target import resolve


@pytest.mark.parametrize("whole", [*product((1, 2, 3), (1, 5), (1, 7))])
def test_loops_meet_the_elements_that_numpy_does(whole: tuple[int, int, int]) -> None:
    for kept in product((False, True), repeat=3):
        height, width, c = (n if keep else 1 for n, keep in zip(whole, kept, strict=True))
        order = repeat(whole, (height, width, c))
        met = [
            block * order.block_step + row * order.row_step + k * order.step
            for block in range(order.blocks)
            for row in range(order.rows)
            for k in range(order.count)
        ]
        part = np.arange(height * width * c).reshape(height, width, c)
        assert met == np.broadcast_to(part, whole).reshape(-1).tolist()
        assert order.step in (0, 1) and order.elements == prod(whole)


def test_usual_shapes_take_few_loops() -> None:
    whole = (5, 7, 3)
    assert repeat(whole, whole) == Repeat(count=105, step=1)
    assert repeat(whole, (1, 1, 1)) == Repeat(count=105)
    assert repeat(whole, (1, 1, 3)) == Repeat(rows=35, count=3, step=1)
    assert repeat(whole, (5, 7, 1)) == Repeat(rows=35, count=3, row_step=1)
    assert repeat(whole, (5, 1, 3)) == Repeat(5, 7, 3, 3, 0, 1)


def test_an_output_may_lie_over_a_repeated_operand_behind_its_last_reading() -> None:
    assert repeat_overlap(repeat((5, 7, 3), (5, 7, 3))) == ELEMENTWISE
    assert repeat_overlap(repeat((5, 7, 3), (1, 1, 3))).lead_bytes == 102
    # Before the last byte is written 104 are, and byte 34 is still read.
    assert repeat_overlap(repeat((5, 7, 3), (5, 7, 1))).lead_bytes == 104 - 34


def gated(part: tuple[int, int]) -> Graph:
    net = GraphBuilder((9, 7, 3), 2, 1)
    first = net.conv("input", 16, (1, 1))
    net.mul(first, net.conv(net.pool(first, MaxPool, part, part), 16, (1, 1)))
    net.pool(net.last, MaxPool, (9, 7), (9, 7))
    return net.graph()


def test_a_gate_is_applied_in_place() -> None:
    calls = lower(gated((9, 7)), resolve("host")).layers
    (call,) = (call for call in calls if call.kernel == "mul")
    assert call.output.offset_bytes == call.inputs[0].offset_bytes
    assert call.output.place == call.inputs[0].place == "arena"
