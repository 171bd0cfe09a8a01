"""Padding: the longest runs there are, words, and channels that stay dead around zeros."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.emit import render
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph, Shape
from codegen.graph.reference import run_values
from codegen.graph.synthetic import random_images
from codegen.kernels.pad import Gaps
from codegen.lower.lowering import lower
from codegen.passes.skip_dead_channels import dead_elements
from codegen.target.target import resolve


def padded(before: Shape, after: Shape, channels: int = 4, relu: bool = True) -> Graph:
    """Return a map of 5 x 7 with zeros around it, and a convolution of that."""
    net = GraphBuilder((5, 7, 3), 1, 1)
    first = net.conv("input", channels, (1, 1), relu=relu)
    net.conv(net.pad(first, before, after), 3, (1, 1))
    return net.graph()


@pytest.mark.parametrize("relu", [True, False])
def test_around_is_the_zero_point(relu: bool) -> None:
    graph = padded((1, 2, 0), (0, 3, 5), relu=relu)
    values = run_values(graph, (random_images(graph, 2, 1),), 0)
    inner, outer = values["value0"], values["value1"]
    assert outer.shape == (2, 6, 12, 9)
    assert np.array_equal(outer[:, 1:, 2:9, :4], inner)
    outer[:, 1:, 2:9, :4] = graph.value("value1").zero_point
    assert (outer == (-128 if relu else 0)).all()


@pytest.mark.parametrize(
    ("before", "after", "gaps"),
    [
        ((1, 0, 0), (2, 0, 0), Gaps(1, 1, 140, 28, 0, 0, 0, 0, 56)),
        ((1, 2, 0), (0, 1, 0), Gaps(5, 1, 28, 40, 8, 0, 0, 4, 0)),
        ((0, 1, 2), (1, 0, 1), Gaps(5, 7, 4, 0, 7, 2, 1, 0, 56)),
    ],
)
def test_runs_are_as_long_as_they_can_be(before: Shape, after: Shape, gaps: Gaps) -> None:
    (layer,) = (
        layer
        for layer in lower(padded(before, after), resolve("host")).layers
        if layer.kernel == "pad"
    )
    assert layer.args.s == gaps and layer.flash_bytes == 0


@pytest.mark.parametrize(("channels", "align"), [(4, 4), (6, 1)])
def test_words_are_copied_where_every_run_is_of_words(channels: int, align: int) -> None:
    program = lower(padded((1, 1, 0), (0, 0, 0), channels), resolve("host"))
    files = render.project_files(program, None, "0" * 64, render.RuntimeFiles((), ()), "none")
    text = next(text for name, text in files.items() if name.name == "model.c")
    assert f"nn_pad(&gaps, -128, {align}, in, out);" in text


def test_what_is_around_is_dead() -> None:
    graph = padded((1, 0, 0), (0, 0, 2))
    dead = dead_elements(graph)["value1"]
    assert dead[:, 0].all() and dead[..., 4:].all() and not dead[:, 1:, :, :4].any()
