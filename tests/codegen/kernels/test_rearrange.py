"""Rearrangements: loops as the kernel has them, words, and what the reference moves."""

from __future__ import annotations

import re
from dataclasses import astuple
from math import prod

import numpy as np
import pytest

from codegen.emit import render
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.ops.rearrange import Loop, canonical, span
from codegen.graph.reference import run_values
from codegen.graph.synthetic import random_images
from codegen.kernels.rearrange import Loops
from codegen.lower.lowering import lower
from codegen.target.target import resolve

H, W, C = 5, 7, 8
ROW = W * C


def moved(shape: tuple[int, int, int], offset: int, *loops: Loop) -> Graph:
    """Return a convolution whose output is rearranged, and a convolution of that."""
    net = GraphBuilder((H, W, 3), 1, 1)
    first = net.conv("input", C, (1, 1))
    net.conv(net.rearrange(first, shape, offset, loops), 3, (1, 1))
    return net.graph()


def test_neighbouring_loops_are_one_where_they_can_be() -> None:
    assert canonical([(1, 99), (5, 56), (7, 8), (8, 1)]) == ((280, 1),)
    assert canonical([(5, 56), (7, 8), (4, 1)]) == ((35, 8), (4, 1))
    assert canonical([(3, 0), (2, 0), (4, 1)]) == ((6, 0), (4, 1))
    assert canonical([(5, -56), (7, -8)]) == ((35, -8),)
    assert canonical([(1, 3)]) == ()


def test_fewest_loops_read_the_same_elements() -> None:
    rng = np.random.default_rng(3)
    for _ in range(100):
        loops = [(int(n), int(s)) for n, s in rng.integers((1, -3), (4, 4), (5, 2))]

        def order(loops: tuple[Loop, ...]) -> list[int]:
            at = np.zeros(1, int)
            for extent, stride in loops:
                at = (at[:, None] + stride * np.arange(extent)).reshape(-1)
            return list(at)

        assert order(canonical(loops)) == order(tuple(loops))
        low, high = span(7, loops)
        assert (low, high) == (7 + min(order(tuple(loops))), 7 + max(order(tuple(loops))))


def test_the_kernel_has_six_loops() -> None:
    assert astuple(Loops.of(((35, 8), (4, 1)))) == (1, 1, 1, 1, 35, 4, 0, 0, 0, 0, 8, 1)
    assert astuple(Loops.of(())) == (1,) * 6 + (0,) * 5 + (1,)


SLICED, FLIPPED = [(H, ROW), (W, C), (4, 1)], [(H, ROW), (W, -C), (C, 1)]
TWICE = [(H, ROW), (2, 0), (W, C), (2, 0), (C, 1)]


@pytest.mark.parametrize(
    ("shape", "offset", "loops", "expected"),
    [
        ((H, W, 4), 4, SLICED, lambda x: x[..., 4:]),
        ((H, W, C), (W - 1) * C, FLIPPED, lambda x: x[:, :, ::-1]),
        ((2 * H, 2 * W, C), 0, TWICE, lambda x: x.repeat(2, 1).repeat(2, 2)),
        ((W, C, H), 0, [(W, C), (C, 1), (H, ROW)], lambda x: x.transpose(0, 2, 3, 1)),
        ((H, W, C), 0, [(H * W, C), (4, 1), (2, 4)],
         lambda x: x.reshape(-1, H, W, 2, 4).swapaxes(3, 4).reshape(-1, H, W, C)),
    ],
)  # fmt: skip
def test_the_reference_moves_as_numpy_does(shape, offset, loops, expected) -> None:  # type: ignore[no-untyped-def]
    graph = moved(shape, offset, *loops)
    values = run_values(graph, (random_images(graph, 2, 1),), 0)
    assert np.array_equal(values["value1"], expected(values["value0"]))


@pytest.mark.parametrize(
    ("offset", "loops", "align"),
    [
        (4, SLICED, 4),
        (2, SLICED, 1),
        (0, [(H, ROW), (W, C), (3, 1)], 1),
        ((W - 1) * C, FLIPPED, 4),
        (0, TWICE, 4),
        (0, [(C, 1), (H * W, C)], 1),
    ],
)
def test_words_are_copied_where_every_run_is_of_words(
    offset: int, loops: list[Loop], align: int
) -> None:
    graph = moved((1, 1, prod(extent for extent, _ in loops)), offset, *loops)
    program = lower(graph, resolve("host"))
    files = render.project_files(program, None, "0" * 64, render.RuntimeFiles((), ()), "none")
    text = next(text for name, text in files.items() if name.name == "model.c")
    assert re.search(rf"nn_rearrange\(&loops, {H * ROW}, {offset}, {align}, in, out\);", text)


def test_the_callers_buffer_may_lie_anywhere() -> None:
    net = GraphBuilder((5, 7, 8), 1, 1)
    net.linear(net.rearrange("input", (5, 7, 4), 4, SLICED), 3)
    program = lower(net.graph(), resolve("host"))
    assert program.layers[0].args.in_words
    files = render.project_files(program, None, "0" * 64, render.RuntimeFiles((), ()), "none")
    text = next(text for name, text in files.items() if name.name == "model.c")
    assert "nn_rearrange(&loops, 280, 4, 1, in, out);" in text
