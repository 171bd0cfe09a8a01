"""Dead channels are skipped or removed without changing a single output."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codegen import flow
from codegen.graph import file as nestfile
from codegen.graph import reference
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import NEVER, Graph, Op, Requant
from codegen.graph.ops.add import Add
from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.synthetic import random_graph, random_images
from codegen.graph.verify import verify
from codegen.lower.lowering import lower
from codegen.passes.skip_dead_channels import dead_elements, skip_dead_channels
from codegen.target.target import resolve

LEVELS = 3
DENSITIES = (0.2, 0.5, 0.9)


def plant(
    graph: Graph, index: int, channels: Sequence[int], *, first_level: int = NEVER, offset: int = 0
) -> Graph:
    """Return ``graph`` with channels of an op constant: ``offset`` above the zero point.

    Args:
        graph: it stays as it is.
        index: of a weighted op.
        channels: of its output.
        first_level: first level at which the channels have weights; NEVER for none.
        offset: of the constant from the zero point.
    """
    op = graph.ops[index]
    assert isinstance(op, Conv2D | Linear) and isinstance(op.requant, Requant)
    rows = list(channels)
    weight, level = op.weight.copy(), op.group_level
    if first_level == NEVER:
        weight[rows] = 0
    else:
        assert level is not None
        level = level.copy()
        level[rows] = np.maximum(level[rows], first_level)
    bits = op.requant.fraction_bits
    bias, delta = op.requant.bias.copy(), op.requant.bias_delta.copy()
    bias[rows] = ((graph.value(op.output).zero_point + offset) << bits) + (1 << bits >> 1)
    delta[:, rows] = 0
    requant = replace(op.requant, bias=bias, bias_delta=delta)
    return with_op(graph, index, replace(op, weight=weight, group_level=level, requant=requant))


def with_op(graph: Graph, index: int, op: Op) -> Graph:
    """Return ``graph`` with another operator at ``index``."""
    return replace(graph, ops=(*graph.ops[:index], op, *graph.ops[index + 1 :]))


def chain(
    channels: int = 8, *, middle: str = "", group: int = 4, dense: bool = False, seed: int = 3
) -> Graph:
    """Return conv, optionally one operator more, conv and linear; nested unless ``dense``."""
    densities = None if dense else DENSITIES
    net = GraphBuilder((7, 5, 3), LEVELS, seed, "chain")
    same = (1, 1, 1, 1)
    net.conv("input", channels, (3, 3), padding=same, group=1, densities=densities)
    if middle == "depthwise":
        net.conv(net.last, channels, (3, 3), padding=same, groups=channels)
    elif middle == "max":
        net.pool(net.last, MaxPool, (3, 2), (2, 1), (1, 1, 1, 0))
    elif middle == "avg":
        net.pool(net.last, AvgPool, (2, 3), (1, 2), (1, 1, 0, 1))
    net.conv(net.last, 11, (3, 3), padding=same, group=group, densities=densities)
    net.linear(net.last, 5)
    return net.graph()


def checked(graph: Graph, seed: int = 1) -> Graph:
    """Return the graph after the pass, verified, equal in all outputs, and final."""
    after = verify(skip_dead_channels(verify(graph)), "skip_dead_channels")
    images = random_images(graph, 3, seed)
    for level in range(len(graph.levels)):
        expected = reference.run_one(graph, images, level)
        assert np.array_equal(reference.run_one(after, images, level), expected), level
    assert skip_dead_channels(after) is after
    return after


def macs(graph: Graph, index: int) -> list[int]:
    """Return an op's multiply-accumulates at every level."""
    op = graph.ops[index]
    return [op.macs(graph, level) for level in range(len(graph.levels))]


def columns_macs(graph: Graph, index: int, columns: slice, level: int) -> int:
    """Count a nested convolution's kept weights in some input channels, times its outputs."""
    op = graph.ops[index]
    assert isinstance(op, Conv2D) and op.group_level is not None
    kept = np.repeat(op.group_level, op.group_size, axis=3)[..., : op.weight.shape[3]] <= level
    height, width, _ = graph.value(op.output).shape
    return int(kept[..., columns].sum()) * height * width


@pytest.mark.parametrize("group", [1, 2, 4])
def test_groups_are_walked_from_the_first_level_they_live_at(group: int) -> None:
    graph = plant(chain(group=group), 0, range(4, 8), first_level=2)
    after = checked(graph)
    for level in range(LEVELS):
        saved = columns_macs(graph, 1, slice(4, 8), level) if level < 2 else 0
        assert (saved > 0) == (level < 2)
        assert macs(after, 1)[level] == macs(graph, 1)[level] - saved
    assert [value.shape for value in after.values] == [value.shape for value in graph.values]
    totals = [level.cost.macs for level in lower(graph, resolve("host")).levels]
    assert totals == [sum(macs(after, i)[k] for i in range(3)) for k in range(LEVELS)]


def test_a_group_with_one_living_channel_stays() -> None:
    graph = plant(chain(), 0, (4, 5, 6), first_level=2)
    assert checked(graph) is graph


def test_levels_are_judged_one_by_one() -> None:
    graph = plant(plant(chain(), 0, (4, 5), first_level=2), 0, (6, 7), first_level=1)
    after = checked(graph)
    saved = [columns_macs(graph, 1, slice(4, 8), 0), 0, 0]
    assert macs(after, 1) == list(np.subtract(macs(graph, 1), saved))


@pytest.mark.parametrize("offset", [1, 5])
@pytest.mark.parametrize("first_level", [1, NEVER])
def test_another_constant_than_the_zero_point_stays(offset: int, first_level: int) -> None:
    graph = plant(chain(), 0, range(4), first_level=first_level, offset=offset)
    assert skip_dead_channels(graph) is graph


@pytest.mark.parametrize("dense", [False, True])
def test_channels_dead_at_all_levels_are_removed(dense: bool) -> None:
    whole = chain(dense=dense)
    graph = plant(whole, 0, range(4, 8))
    after = checked(graph)
    first, second = after.ops[0], after.ops[1]
    assert isinstance(first, Conv2D) and isinstance(second, Conv2D)
    assert first.weight.shape == (4, 3, 3, 3) and second.weight.shape == (11, 3, 3, 4)
    assert after.value(first.output).shape == (7, 5, 4)
    before, packed = lower(whole, resolve("host")), lower(graph, resolve("host"))
    assert len(packed.image_bytes) < len(before.image_bytes)
    for old, new in zip(before.levels, packed.levels, strict=True):
        assert new.cost.macs < old.cost.macs
        assert new.cost.weight_bytes < old.cost.weight_bytes


def test_no_nested_group_is_split() -> None:
    after = checked(plant(chain(11), 0, (1, 4, 5, 6, 7, 9)))
    conv = after.ops[1]
    assert isinstance(conv, Conv2D) and conv.group_level is not None
    assert conv.weight.shape[3] == 7 and conv.group_level.shape[3] == 2


@pytest.mark.parametrize(("planted", "left"), [(3, 8), (5, 4), (7, 4)])
def test_a_multiple_of_four_stays_one(planted: int, left: int) -> None:
    after = checked(plant(chain(dense=True), 0, range(planted)))
    assert after.value(after.ops[0].output).shape[2] == left


def test_one_channel_always_stays() -> None:
    after = checked(plant(chain(7, dense=True), 0, range(7)))
    assert after.value(after.ops[0].output).shape[2] == 1


@pytest.mark.parametrize("middle", ["max", "avg"])
@pytest.mark.parametrize("first_level", [1, NEVER])
def test_death_passes_pools(middle: str, first_level: int) -> None:
    graph = plant(chain(middle=middle), 0, range(4), first_level=first_level)
    after = checked(graph)
    shapes = [after.value(op.output).shape[2] for op in after.ops[:2]]
    assert shapes == ([4, 4] if first_level == NEVER else [8, 8])
    assert macs(after, 2)[0] == macs(graph, 2)[0] - columns_macs(graph, 2, slice(0, 4), 0)


def test_death_passes_depthwise_convolutions() -> None:
    whole = chain(middle="depthwise")
    graph = plant(whole, 0, range(4))
    assert skip_dead_channels(graph) is graph, "the depthwise constant is not the zero point"
    depthwise = graph.ops[1]
    graph = plant(graph, 1, range(4))
    graph = with_op(graph, 1, replace(graph.ops[1], weight=depthwise.weight))
    after = checked(graph)
    conv = after.ops[1]
    assert isinstance(conv, Conv2D) and conv.groups == 4 and conv.weight.shape == (4, 3, 3, 1)
    assert [after.value(op.output).shape[2] for op in after.ops[:3]] == [4, 4, 11]


def test_a_depthwise_channel_without_weights_takes_its_input_along() -> None:
    after = checked(plant(chain(middle="depthwise"), 1, range(4)))
    assert [after.value(op.output).shape[2] for op in after.ops[:2]] == [4, 4]


def test_death_spreads_along_a_chain() -> None:
    graph = plant(chain(4, group=4), 0, range(4), first_level=1)
    constant = plant(graph, 1, range(11), first_level=1)
    conv, old = constant.ops[1], graph.ops[1]
    assert isinstance(conv, Conv2D) and isinstance(old, Conv2D)
    graph = with_op(graph, 1, replace(old, requant=conv.requant))
    dead = dead_elements(graph)[conv.output]
    assert dead[0].all() and not dead[1].any()
    after = checked(graph)
    assert macs(after, 1)[0] == 0 < macs(after, 1)[1]


def test_unread_channels_go_with_all_that_only_they_read() -> None:
    graph = chain(12, middle="", group=4, dense=True)
    conv = graph.ops[1]
    assert isinstance(conv, Conv2D)
    weight = conv.weight.copy()
    weight[..., :8] = 0
    after = checked(with_op(graph, 1, replace(conv, weight=weight)))
    assert after.value(after.ops[0].output).shape[2] == 4


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("flatten", [False, True])
def test_linear_layers_read_in_h_w_c_order(group: int, flatten: bool) -> None:
    net = GraphBuilder((3, 5, 2), LEVELS, 9)
    net.conv("input", 8, (2, 2), group=1, densities=DENSITIES)
    if flatten:
        net.reshape(net.last, (1, 1, 64))
    net.linear(net.last, 7, group=group, densities=DENSITIES)
    graph = net.graph()
    after = checked(plant(graph, 0, range(4), first_level=2))
    old, new = graph.ops[-1], after.ops[-1]
    assert isinstance(old, Linear) and old.group_level is not None
    assert isinstance(new, Linear) and new.group_level is not None
    dead = np.tile(np.arange(8) < 4, 8)[::group]
    expected = np.where(dead, np.maximum(old.group_level, 2), old.group_level)
    assert np.array_equal(new.group_level, expected)
    removed = checked(plant(graph, 0, range(4))).ops[-1]
    assert isinstance(removed, Linear) and removed.weight.shape == (7, 32)
    assert np.array_equal(removed.weight, old.weight.reshape(7, 8, 8)[:, :, 4:].reshape(7, 32))


@pytest.mark.parametrize("kind", ["residual", "add"])
def test_operands_of_sums_keep_their_channels(kind: str) -> None:
    net = GraphBuilder((5, 5, 3), LEVELS, 4)
    stem = net.conv("input", 8, (1, 1))
    if kind == "residual":
        net.conv(stem, 8, (3, 3), padding=(1, 1, 1, 1), residual=stem)
    else:
        net.add(stem, net.conv(stem, 8, (1, 1)))
    net.conv(net.last, 3, (1, 1))
    graph = plant(net.graph(), 0, range(4))
    assert any(isinstance(op, Add) for op in graph.ops) == (kind == "add")
    assert checked(graph) is graph


def test_a_dead_residual_keeps_a_channel_dead() -> None:
    net = GraphBuilder((5, 5, 3), LEVELS, 4)
    stem = net.conv("input", 8, (1, 1), group=1, densities=DENSITIES)
    net.conv(stem, 8, (1, 1), group=4, densities=DENSITIES, residual=stem)
    net.conv(net.last, 3, (1, 1), group=4, densities=DENSITIES)
    whole = plant(net.graph(), 1, range(4), first_level=1)
    assert skip_dead_channels(whole) is whole, "the residual lives"
    graph = plant(whole, 0, range(4), first_level=1)
    after = checked(graph)
    assert macs(after, 2)[0] == macs(graph, 2)[0] - columns_macs(graph, 2, slice(0, 4), 0)


@pytest.mark.parametrize("steps", [0, 2])
def test_a_sum_of_dead_operands_is_dead_where_it_is_the_zero_point(steps: int) -> None:
    net = GraphBuilder((5, 5, 3), LEVELS, 5)
    stem = net.conv("input", 8, (1, 1), group=1, densities=DENSITIES)
    other = net.conv("input", 8, (1, 1), group=1, densities=DENSITIES)
    net.add(stem, other)
    net.conv(net.last, 3, (3, 3), padding=(1, 1, 1, 1), group=4, densities=DENSITIES)
    graph = plant(net.graph(), 0, range(4), first_level=2)
    assert skip_dead_channels(graph) is graph, "the other operand lives"
    graph = plant(graph, 1, range(4), first_level=1)
    add = graph.ops[2]
    assert isinstance(add, Add)
    offset = add.offset + np.int32(steps << add.shift)
    graph = with_op(graph, 2, replace(add, offset=offset))
    after = checked(graph)
    saved = columns_macs(graph, 3, slice(0, 4), 0)
    assert saved > 0
    expected = [saved if steps == 0 else 0, 0, 0]
    assert np.subtract(macs(graph, 3), macs(after, 3)).tolist() == expected


def test_the_output_keeps_its_channels() -> None:
    graph = chain()
    assert checked(plant(graph, 2, (0, 1, 2, 3))).only_output.shape == (1, 1, 5)


def test_layers_with_one_weight_set_are_not_split_into_levels() -> None:
    net = GraphBuilder((5, 5, 3), LEVELS, 6)
    net.conv("input", 8, (1, 1), group=1, densities=DENSITIES)
    net.conv(net.last, 5, (1, 1), group=4, densities=(1.0,) * LEVELS)
    graph = plant(net.graph(), 0, range(4), first_level=1)
    assert checked(graph) is graph


@pytest.mark.parametrize("middle", ["", "max", "avg", "depthwise"])
def test_a_network_without_dead_channels_is_returned_itself(middle: str) -> None:
    graph = chain(middle=middle)
    assert skip_dead_channels(graph) is graph


@pytest.mark.parametrize("seed", range(40))
def test_random_networks_with_dead_channels_keep_their_results(seed: int) -> None:
    graph = random_graph(seed, blocks=5)
    rng = np.random.default_rng(seed)
    for index, op in enumerate(graph.ops):
        if not isinstance(op, Conv2D | Linear):
            continue
        nested = op.group_level is not None
        first = int(rng.integers(0, len(graph.levels))) if nested and rng.random() < 0.5 else NEVER
        rows = np.flatnonzero(rng.random(len(op.weight)) < 0.5)
        offset = int(rng.random() < 0.1)
        graph = plant(graph, index, rows.tolist(), first_level=first, offset=offset)
    after = checked(graph, seed)
    for index in range(len(graph.ops)):
        assert all(np.less_equal(macs(after, index), macs(graph, index)))


@pytest.mark.parametrize("board_id", ["host", "qemu_m4"])
def test_machines_compute_what_the_whole_network_does(tmp_path: Path, board_id: str) -> None:
    tools = {"host": ("cc",), "qemu_m4": ("arm-none-eabi-gcc", "qemu-system-arm")}[board_id]
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    graph = plant(chain(12, middle="depthwise"), 0, range(8, 12), first_level=1)
    weights = graph.ops[1]
    graph = plant(plant(graph, 0, range(4)), 1, (*range(4), *range(8, 12)))
    kept = replace(graph.ops[1], weight=weights.weight)
    graph = with_op(graph, 1, kept)
    after = checked(graph)
    assert after.value(after.ops[1].output).shape[2] == 8
    assert macs(after, 2)[0] < macs(graph, 2)[0]
    path = tmp_path / "chain.nestnet"
    nestfile.save(graph, path)
    made = flow.run(path, board_id, random_images(graph, 3, 8), out=tmp_path / "project")
    assert made.bit_exact and made.differences == ()
