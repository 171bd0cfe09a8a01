"""The equality chain: host C, emulated Cortex-M4 and M7 and the reference give the same bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from codegen import kernels
from codegen.emit import project
from codegen.graph import reference
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.ops import OPERATORS
from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.synthetic import (
    conv_layer_graph,
    linear_layer_graph,
    random_graph,
    random_images,
    random_inputs,
)
from codegen.lower import lowering
from codegen.measure import compare
from codegen.target import runners, toolchain
from codegen.target.target import resolve
from tests.support.channel_nets import channel_graph
from tests.support.edge_nets import detector, edge_graphs, fusion, gates
from tests.support.projects import SHA256, Build, need_tools, small_graph

BOARDS = ("host", "qemu_m4", "qemu_m7")


def widths_graph(group: int) -> Graph:
    """Return convolutions on odd maps: primes, channels not divisible by G, stride 2, 1 wide."""
    net = GraphBuilder((7, 13, 5), 3, 40 + group, f"widths_{group}")
    first = net.conv(
        "input", 7, (3, 3), padding=(1, 1, 1, 1), group=group, densities=(0.1, 0.3, 0.6)
    )
    second = net.conv(first, 11, (3, 5), stride=(2, 2), group=group, densities=(0.0, 0.2, 1.0))
    third = net.conv(second, 6, (1, 1), group=group, densities=(0.05, 0.5, 0.9))
    pooled = net.pool(third, MaxPool, (2, 2), (1, 2))
    fourth = net.conv(pooled, 3, (2, 1), group=group, densities=(0.3, 0.4, 0.5), relu=False)
    net.linear(fourth, 5, group=group, densities=(0.2, 0.4, 0.8))
    return net.graph()


def functions_graph() -> Graph:
    """Return tables between, before and after other operators, one for all levels among them."""
    net = GraphBuilder((7, 5, 3), 3, 61, "functions")
    net.lookup("input", lambda x: np.maximum(x, 0.1 * x))  # levels share the input's scale
    net.conv(net.last, 11, (3, 3), padding=(1, 1, 1, 1), group=4, densities=(0.1, 0.3, 0.6))
    net.lookup(net.last, lambda x: x * np.clip(x / 6 + 0.5, 0, 1))
    net.conv(net.last, 11, (3, 3), groups=11)
    net.conv(net.conv(net.last, 12, (1, 1)), 8, (2, 2), groups=4)
    gate = net.lookup(net.last, lambda x: 1 / (1 + np.exp(-x)))
    net.pool(net.add(net.lookup(gate, np.tanh), gate), MaxPool, (2, 1), (2, 1))
    net.reshape(net.last, (1, 1, int(np.prod(net.shape(net.last)))))
    net.lookup(net.linear(net.last, 7, group=2, densities=(0.2, 0.4, 0.8)), np.arctan)
    return net.graph()


def concat_graph() -> Graph:
    """Return concatenations of 2 to 8 values along each axis, nested, of the input and of one value
    twice, before and after every other kind of layer."""
    net = GraphBuilder((7, 5, 3), 3, 62, "concat")
    same = {"padding": (1, 1, 1, 1), "relu": False}
    branch = net.conv("input", 5, (3, 3), group=4, densities=(0.1, 0.4, 0.7), **same)
    wide = net.concat(["input", branch, branch])
    other = net.conv(wide, 13, (3, 3), group=2, densities=(0.2, 0.3, 0.9), **same)
    stack = net.concat([wide, net.concat([other, "input"], 2)])
    pooled = net.pool(stack, MaxPool, (2, 2), (2, 2))
    tall = net.concat([pooled, net.conv(pooled, 29, (1, 1), relu=False)], 0)
    narrow = net.conv(tall, 2, (1, 1), group=1, densities=(0.3, 0.5, 0.6), relu=False)
    eight = net.concat([narrow] + [net.conv(tall, 2, (1, 1), relu=False) for _ in range(7)], 1)
    net.linear(net.concat([eight, narrow], 1), 7, group=4, densities=(0.2, 0.4, 0.8))
    return net.graph()


def pools_graph() -> Graph:
    """Return averages that count part of their padding and adaptive pools, larger and smaller than
    what they read, of which the channels come in fours or not."""
    net = GraphBuilder((7, 13, 5), 3, 63, "pools")
    net.conv("input", 8, (3, 3), padding=(1, 1, 1, 1), group=4, densities=(0.1, 0.4, 0.7))
    net.pool(net.last, AvgPool, (3, 3), (1, 2), (1, 1, 2, 1), (1, 0, 0, 1))
    net.adaptive_pool(net.last, MaxPool, (11, 5))
    net.conv(net.last, 7, (1, 1), group=2, densities=(0.2, 0.5, 0.8), relu=False)
    net.bilinear(net.last, (22, 10))
    net.adaptive_pool(net.last, AvgPool, (3, 7))
    net.bilinear(net.last, (5, 6), align_corners=1)
    net.pool(net.last, AvgPool, (2, 3), (2, 3), (0, 1, 1, 1), (0, 0, 0, 0))
    net.linear(net.last, 5, group=1, densities=(0.2, 0.4, 0.8))
    return net.graph()


def moves_graph() -> Graph:
    """Return values sliced, turned, flipped, shuffled and repeated: of the input, in words and
    bytes, into an addition, a concatenation and a linear layer."""
    net = GraphBuilder((7, 5, 3), 3, 63, "moves")
    same = {"padding": (1, 1, 1, 1), "relu": False}
    flipped = net.rearrange("input", (7, 5, 2), 13, [(7, 15), (5, -3), (2, 1)])
    wide = net.conv(flipped, 8, (3, 3), group=4, densities=(0.1, 0.4, 0.7), **same)
    half = net.rearrange(wide, (7, 5, 4), 4, [(35, 8), (4, 1)])
    shuffled = net.rearrange(wide, (7, 5, 8), 0, [(35, 8), (4, 1), (2, 4)])
    joined = net.concat([net.conv(half, 4, (1, 1), relu=False), shuffled])
    large = net.rearrange(joined, (14, 15, 12), 0, [(7, 60), (2, 0), (5, 12), (3, 0), (12, 1)])
    large = net.pad(net.pad(large, (1, 0, 0), (0, 1, 4)), (0, 2, 3), (1, 0, 0))
    small = net.conv(large, 5, (3, 3), stride=(2, 3), group=2, densities=(0.2, 0.3, 0.9), **same)
    turned = net.rearrange(small, (5, 5, 7), 0, [(5, 5), (5, 1), (7, 25)])
    deep = net.conv(turned, 12, (2, 2), stride=(2, 2))
    folded = net.rearrange(deep, (4, 4, 3), 0, [(2, 24), (2, 6), (2, 12), (2, 3), (3, 1)])
    net.linear(folded, 7, group=4, densities=(0.2, 0.4, 0.8))
    return net.graph()


def products_graph() -> Graph:
    """Return products and sums of two values of one shape, and with one that has 1 in place of
    every combination of extents."""
    net = GraphBuilder((7, 5, 3), 3, 63, "products")
    whole = net.conv("input", 11, (3, 3), padding=(1, 1, 1, 1), group=4, densities=(0.1, 0.3, 0.6))
    y = net.mul(whole, net.conv("input", 11, (1, 1), relu=False))
    for kernel in ((7, 5), (7, 1), (1, 5), (1, 1)):
        part = net.pool(whole, AvgPool, kernel, kernel)
        y = net.mul(y, net.lookup(net.conv(part, 11, (1, 1)), np.tanh), relu=kernel == (7, 1))
        y = net.add(y, net.conv(net.pool(y, MaxPool, kernel, kernel), 1, (1, 1)))
        y = net.mul(y, net.lookup(net.conv(part, 1, (1, 1)), lambda x: 1 / (1 + np.exp(-x))))
        y = net.add(y, net.pool(y, AvgPool, kernel, kernel))
    for sizes in ((1, 11), (35, 1), (35, 11)):
        y = net.normalize(y, sizes, center=sizes != (35, 1))
    net.linear(net.normalize(y, (1, 11), center=False), 7, group=2, densities=(0.2, 0.4, 0.8))
    return net.graph()


def products_of_matrices_graph() -> Graph:
    """Return matrices times matrices, by rows and by columns, of every tile and depths that are
    no whole fours, both zero points, also of one row or column."""
    net = GraphBuilder((3, 7, 5), 3, 63, "matrices")
    a = net.conv("input", 13, (1, 1), group=4, densities=(0.1, 0.3, 0.6))
    b = net.conv("input", 13, (1, 1), relu=False)
    scores = net.matmul(a, b)
    y = net.matmul(net.lookup(scores, np.exp), b, by_columns=True)
    y = net.matmul(net.rearrange(y, (7, 3, 13), 0, [(7, 13), (3, 91), (13, 1)]), net.rearrange(
        a, (7, 5, 13), 0, [(7, 13), (5, 0), (13, 1)]))  # fmt: skip
    row = net.rearrange(y, (3, 1, 35), 0, [(3, 5), (7, 15), (5, 1)])
    y = net.matmul(row, row)
    y = net.matmul(net.reshape(y, (1, 3, 1)), net.reshape(row, (1, 1, 105)), by_columns=True)
    net.linear(y, 7, group=2, densities=(0.2, 0.4, 0.8))
    return net.graph()


def graphs() -> list[Graph]:
    """Return the networks that are compared, small enough to compile quickly."""
    made = [widths_graph(group) for group in (1, 2, 4)]
    made += [random_graph(seed, blocks=5) for seed in (11, 12, 13)]
    made += [random_graph(21, levels=1), random_graph(22, levels=4)]
    made += [
        channel_graph(),
        small_graph(),
        functions_graph(),
        concat_graph(),
        pools_graph(),
        moves_graph(),
        products_graph(),
        products_of_matrices_graph(),
        conv_layer_graph(11, 17, 8, 6, group=4),
        linear_layer_graph(37, 10),
    ]
    return made


@pytest.mark.parametrize("board_id", BOARDS)
@pytest.mark.parametrize("graph", graphs(), ids=lambda graph: f"{graph.name}")
def test_every_machine_equals_the_reference(build: Build, graph: Graph, board_id: str) -> None:
    images = random_images(graph, 3, seed=5)
    levels = range(len(graph.levels))
    made = compare.compare(build(graph, board_id), graph, (images,), [0, 1, 2], levels)
    assert made.bit_exact, "\n".join(map(str, made.differences))
    assert made.differences == ()
    for level in made.levels:
        assert level.accuracy_device == level.accuracy_reference
        assert (level.instructions is None) == (board_id == "host")


@pytest.mark.parametrize(
    "graph",
    [
        *(functions_graph(), concat_graph(), moves_graph(), products_graph()),
        products_of_matrices_graph(),
    ],
    ids=lambda graph: f"{graph.name}",
)
def test_a_core_without_unaligned_access_equals_the_reference(build: Build, graph: Graph) -> None:
    images = random_images(graph, 2, seed=5)
    made = compare.compare(build(graph, "qemu_m0"), graph, (images,), [0, 1], range(3))
    assert made.bit_exact, "\n".join(map(str, made.differences))


def test_every_operator_and_every_kernel_is_compared() -> None:
    chosen = [graph for graph in graphs() if not graph.name.startswith("random")]
    programs = [lowering.lower(graph, resolve("qemu_m4")) for graph in chosen]
    ops = {type(op).__name__ for program in programs for op in program.source.ops}
    assert ops == set(OPERATORS)
    used = {layer.kernel for program in programs for layer in program.layers}
    assert used == {kernel.name for kernel in kernels.KERNELS if kernel.stem != "cmsis_nn"}


@pytest.mark.parametrize("board_id", BOARDS)
@pytest.mark.parametrize("graph", edge_graphs(), ids=lambda graph: f"{graph.name}")
def test_every_output_of_several_equals_the_reference(
    build: Build, graph: Graph, board_id: str
) -> None:
    inputs = random_inputs(graph, 3, seed=5)
    built = build(graph, board_id)
    made = compare.compare(built, graph, inputs, None, range(len(graph.levels)))
    assert made.bit_exact, "\n".join(map(str, made.differences))
    result = runners.run(built, inputs, (0,))
    expected = reference.run(graph, inputs, 0)
    assert len(result.outputs) == len(expected) == len(graph.outputs)
    for got, wanted in zip(result.outputs, expected, strict=True):
        assert np.array_equal(got[0], wanted)


@pytest.mark.parametrize("board_id", ["qemu_m0", "qemu_m33"])
@pytest.mark.parametrize("make", [fusion, detector, gates])
def test_several_edges_on_other_cores(
    build: Build, make: Callable[[], Graph], board_id: str
) -> None:
    graph = make()
    inputs = random_inputs(graph, 2, seed=6)
    made = compare.compare(build(graph, board_id), graph, inputs, None, range(len(graph.levels)))
    assert made.bit_exact, "\n".join(map(str, made.differences))


@pytest.mark.parametrize("board_id", BOARDS)
@pytest.mark.parametrize("make", [fusion, detector, gates])
def test_several_edges_with_streams_decoded_once(
    tmp_path: Path, make: Callable[[], Graph], board_id: str
) -> None:
    """Levels in an order that decodes more, less and the same; inputs are given before each."""
    need_tools(board_id)
    graph = make()
    target = resolve(board_id, optimize="size", decode="level")
    built = toolchain.build(project.write(graph, SHA256, target, tmp_path / "made"))
    inputs = random_inputs(graph, 2, seed=7)
    last = len(graph.levels) - 1
    order = (0, last, 0, last)
    result = runners.run(built, inputs, order)
    for position, level in enumerate(order):
        expected = reference.run(graph, inputs, level)
        for got, wanted in zip(result.outputs, expected, strict=True):
            assert np.array_equal(got[position], wanted)


def test_a_wrong_output_of_several_is_located(build: Build) -> None:
    """A board whose second output is wrong in one place: the layer that writes it is named."""
    graph = detector()
    built = build(graph, "host")
    source = built.project / "rig/runner.c"
    text = source.read_text(encoding="utf-8")
    call = "    status = nn_run(net, NULL, NULL);\n"
    assert call in text
    source.write_text(text.replace(call, call + "    nn_output(net, 1)[3] ^= 1;\n"))
    damaged = toolchain.build(built.project)
    inputs = random_inputs(graph, 2, seed=1)
    made = compare.compare(damaged, graph, inputs, None, (0, 1))
    assert [level.bit_exact for level in made.levels] == [False, False]
    assert {str(item.layer) for item in made.differences} == {f"output {graph.outputs[1]}"}
    assert all(item.index == 3 for item in made.differences)


def test_a_project_without_werror(tmp_path: Path) -> None:
    """What a compiler of tomorrow warns of must not stop a user's build."""
    for board_id in ("host", "stm32f7"):
        made = project.write(small_graph(), SHA256, resolve(board_id), tmp_path / board_id)
        assert "-Werror" not in (made / "Makefile").read_text()


def test_the_compiler_keeps_every_layer(build: Build) -> None:
    """gcc 12 -O3 once took this layer's function for one that writes nothing: no call, old bits."""
    graph = conv_layer_graph(7, 3, 31, 31, padding=(0, 1, 0, 0), groups=31, group=1, densities=None)
    made = compare.compare(build(graph, "host"), graph, random_inputs(graph, 2, 1), None, [0])
    assert made.bit_exact, "\n".join(map(str, made.differences))


def test_instructions_are_attributed_to_layers(build: Build) -> None:
    graph = small_graph()
    built = build(graph, "qemu_m4")
    images = random_images(graph, 4, seed=6)
    result = runners.run(built, (images,), (1, 0, 1))
    assert result.instructions is not None
    assert result.instructions[0] == result.instructions[2] > result.instructions[1]
    assert set(result.layer_instructions) == {layer.c_name for layer in built.info.layers}
    for position in range(3):
        parts = [*result.layer_instructions.values(), *result.other_instructions.values()]
        assert sum(part[position] for part in parts) == result.instructions[position]
    assert result.stack_bytes is not None and 0 < result.stack_bytes < 2048
    assert np.array_equal(result.outputs[0][1], reference.run_one(graph, images, 0))
    again = runners.run(built, (images,), (1, 0, 1))
    assert again.instructions == result.instructions


def test_the_first_wrong_layer_is_named(build: Build) -> None:
    graph = small_graph()
    built = build(graph, "host")
    source = built.project / "library/weights.c"
    lines = source.read_text(encoding="utf-8").splitlines()
    row = next(
        i for i, line in enumerate(lines) if "_add_add_offset" in line or "add_offset" in line
    )
    lines[row + 1] = lines[row + 1].replace(",", "+(3<<16),", 1)
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    damaged = toolchain.build(built.project, {"EXTRA_CFLAGS": "-DNN_CHECK_WEIGHTS=0"})
    made = compare.compare(damaged, graph, random_inputs(graph, 2, seed=1), None, (0, 1))
    assert [level.bit_exact for level in made.levels] == [False, True]
    (difference,) = made.differences
    assert (difference.level, difference.layer) == (0, "add3")
    assert difference.got == difference.expected + 3
