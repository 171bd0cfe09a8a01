"""Concatenations: what is copied where, what may lie over what, and channels that are skipped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codegen.emit import render
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.ops.concat import Concat
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.reference import run_one, run_values
from codegen.graph.synthetic import random_images
from codegen.kernels.common.in_place import concat_overlap
from codegen.lower.lowering import lower
from codegen.passes.skip_dead_channels import skip_dead_channels
from codegen.program.draft import Overlap
from codegen.target.target import resolve
from tests.support import kernel_order

LEVELS = 3
DENSITIES = (0.3, 0.6, 0.9)


def branches(axis: int = 2, count: int = 3, *, read_twice: bool = False) -> Graph:
    """Return ``count`` convolutions of one input side by side, and a convolution of them."""
    net = GraphBuilder((5, 7, 3), LEVELS, 1)
    parts = []
    for index in range(count):
        channels = 8 if axis < 2 else 4 * (index + 1)
        parts.append(net.conv("input", channels, (3, 3), group=1, densities=DENSITIES))
    net.conv(net.concat(parts, axis), 5, (1, 1), group=4, densities=DENSITIES)
    if read_twice:  # or the convolution reads the parts
        net.add(net.last, net.conv(net.ops[-1].inputs[0], 5, (1, 1)))
    return net.graph()


@pytest.mark.parametrize(("axis", "runs", "sizes"), [(0, 1, 120), (1, 3, 40), (2, 15, 0)])
def test_every_input_is_copied_to_its_slice(axis: int, runs: int, sizes: int) -> None:
    graph = branches(axis, read_twice=True)
    layer = lower(graph, resolve("host")).layers[3]
    args = layer.args
    assert layer.kernel == "concat" and args.runs == runs
    expected = [sizes] * 3 if sizes else [4, 8, 12]
    assert [part.size for part in args.slices] == expected
    assert [part.offset for part in args.slices] == [0, *np.cumsum(expected)[:-1]]
    assert args.step == sum(expected) and layer.flash_bytes == 0


def model_c(graph: Graph) -> str:
    """Return the generated model.c."""
    program = lower(graph, resolve("host"))
    files = render.project_files(program, None, "0" * 64, render.RuntimeFiles((), ()), "none")
    return next(text for name, text in files.items() if name.name == "model.c")


def test_words_are_copied_where_every_run_is_of_words() -> None:
    net = GraphBuilder((5, 7, 3), 1, 1)
    first, second, third = (net.conv("input", channels, (1, 1)) for channels in (8, 6, 2))
    even = net.concat([first, net.conv("input", 4, (1, 1))])
    odd = net.concat([even, second, third, second, second])
    net.linear(net.concat([odd, net.conv(odd, 2, (1, 1))]), 5)
    text = model_c(net.graph())
    assert "nn_concat(35, 8, 0, 12, 4, in, out);" in text
    assert "nn_concat(35, 4, 8, 12, 4, second, out);" in text
    assert "nn_concat(35, 12, 0, 32, 4, in, out);" in text
    assert "nn_concat(35, 6, 12, 32, 1, second, out);" in text, "runs of one and a half words"
    assert "nn_concat(35, 32, 0, 34, 1, in, out);" in text, "an output run that ends in a word"


def test_a_layer_with_many_inputs_names_each() -> None:
    text = model_c(branches(count=8, read_twice=True))
    assert "const int8_t *in, const int8_t *second, const int8_t *input_3, " in text
    assert "nn_concat(15, 32, 112, 144, 4, input_8, out);" in text
    assert "concat of 8 inputs" in text


def test_scales_of_all_inputs_are_one() -> None:
    net = GraphBuilder((5, 7, 3), LEVELS, 1)
    first = net.conv("input", 4, (1, 1), relu=False)
    second = net.conv("input", 4, (1, 1), relu=False)
    inner = net.concat([first, second])
    net.linear(net.concat([inner, net.conv(inner, 3, (1, 1), relu=False), "input"]), 5)
    graph = net.graph()
    linked = [op for op in graph.ops if isinstance(op, Concat)]
    names = {name for op in linked for name in (*op.inputs, op.output)}
    assert len({graph.value(name).scale for name in names}) == 1 and len(names) == 6


@pytest.mark.parametrize("runs", [1, 2, 7])
@pytest.mark.parametrize("sizes", [[5, 3], [1, 13, 2], [4, 4, 4]])
def test_the_first_input_may_lie_below_the_end_of_the_output(runs: int, sizes: list[int]) -> None:
    order = kernel_order.concat(runs, sizes)
    rule = concat_overlap(runs, sizes[0], sum(sizes))
    assert rule == Overlap((runs - 1) * (sum(sizes) - sizes[0]))
    count = runs * sizes[0]
    for distance in range(rule.lead_bytes, runs * sum(sizes) + 1):
        assert not order.clobbered(0, distance).any(), distance
    if count > 1 and sizes[0] > 1:
        assert order.clobbered(0, rule.lead_bytes - 1).any(), "the rule is too careful"


def test_channels_dead_in_one_input_are_removed_from_the_output() -> None:
    graph = branches()
    conv = graph.ops[1]
    assert isinstance(conv, Conv2D)
    weight = conv.weight.copy()
    weight[4:] = 0
    requant = replace(conv.requant, bias=conv.requant.bias.copy())
    requant.bias[4:] = -32768  # the clamp at -128 is the zero point
    requant.bias_delta[:, 4:] = 0
    ops = (graph.ops[0], replace(conv, weight=weight, requant=requant), *graph.ops[2:])
    graph = replace(graph, ops=ops)
    after = skip_dead_channels(graph)
    assert [after.value(op.output).shape[2] for op in after.ops] == [4, 4, 12, 20, 5]
    images = random_images(graph, 2, 3)
    for level in range(LEVELS):
        assert np.array_equal(run_one(after, images, level), run_one(graph, images, level))


def test_a_channel_that_another_reader_needs_stays() -> None:
    net = GraphBuilder((5, 7, 3), 1, 1)
    stem = net.conv("input", 8, (1, 1))
    twice = net.concat([stem, stem])
    first = net.conv(twice, 3, (1, 1))
    net.add(first, net.conv(stem, 3, (1, 1)))
    graph = net.graph()
    ops = list(graph.ops)
    weight = ops[2].weight.copy()
    weight[..., :8] = (
        0  # the value's first copy is unread, its second and the value itself are read
    )
    ops[2] = replace(ops[2], weight=weight)
    graph = replace(graph, ops=tuple(ops))
    assert skip_dead_channels(graph) is graph


def test_values_join_in_order() -> None:
    graph = branches()
    images = random_images(graph, 2, 3)
    for level in range(LEVELS):
        values = run_values(graph, (images,), level)
        joined = graph.ops[3]
        parts = [values[name] for name in joined.inputs]
        assert np.array_equal(values[joined.output], np.concatenate(parts, axis=3))
