"""Every structural rule is enforced, and the message names step, node, rule and value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from codegen.errors import UserError
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import NEVER, Graph, Op, Requant, Residual, Value
from codegen.graph.ops import OPERATORS
from codegen.graph.ops.add import Add
from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.ops.bilinear import Bilinear
from codegen.graph.ops.concat import Concat
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.graph.ops.lookup import Lookup
from codegen.graph.ops.matmul import Matmul
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.ops.mul import Mul
from codegen.graph.ops.normalize import Normalize
from codegen.graph.ops.pad import Pad
from codegen.graph.ops.rearrange import Rearrange
from codegen.graph.ops.reshape import Reshape
from codegen.graph.ops.softmax import Softmax
from codegen.graph.synthetic import random_graph
from codegen.graph.verify import VerifyError, verify


def every_op_graph() -> Graph:
    """Return a valid graph that holds each operator at least once."""
    builder = GraphBuilder((7, 5, 3), 2, seed=3, name="every_op")
    first = builder.conv(
        "input", 5, (3, 3), padding=(1, 1, 1, 1), group=2, densities=[0.4, 0.8], relu=True
    )
    second = builder.conv(
        first, 5, (3, 3), padding=(1, 1, 1, 1), group=4, densities=[0.4, 0.8], residual=first
    )
    total = builder.mul(builder.add(first, second), builder.pool(first, AvgPool, (7, 5), (1, 1)))
    total = builder.normalize(total, (35, 5), center=True)
    total = builder.matmul(builder.matmul(total, first), first, by_columns=True)
    pooled = builder.pool(total, MaxPool, (2, 2), (2, 2))
    flat = builder.reshape(pooled, (1, 1, 3 * 2 * 5))
    averaged = builder.pool(builder.concat([flat, flat]), AvgPool, (1, 1), (1, 1))
    averaged = builder.adaptive_pool(averaged, AvgPool, (2, 1))
    averaged = builder.pool(averaged, AvgPool, (2, 1), (1, 1))
    averaged = builder.pad(averaged, (1, 0, 0), (0, 0, 2))
    averaged = builder.rearrange(averaged, (1, 1, 60), 62, [(60, 1)])
    averaged = builder.rearrange(averaged, (1, 1, 60), 59, [(2, -30), (30, -1)])
    averaged = builder.bilinear(averaged, (1, 1))
    logits = builder.linear(builder.lookup(averaged, np.tanh), 4, group=4, densities=[0.5, 0.9])
    builder.softmax(logits)
    return builder.graph()


GRAPH = every_op_graph()
ADAPTIVE = next(op for op in GRAPH.ops if isinstance(op, AvgPool) and 0 in op.stride).output


def with_op(kind: type[Op], **changes: Any) -> Graph:
    """Return GRAPH with the last op of ``kind`` changed."""
    ops = list(GRAPH.ops)
    index = max(i for i, op in enumerate(ops) if isinstance(op, kind))
    ops[index] = replace(ops[index], **changes)
    return replace(GRAPH, ops=tuple(ops))


def last(kind: type[Any]) -> Any:
    """Return the last op of ``kind`` in GRAPH."""
    return [op for op in GRAPH.ops if isinstance(op, kind)][-1]


def with_pool(**changes: Any) -> Graph:
    """Return GRAPH with the adaptive pool changed."""
    ops = [replace(op, **changes) if op.output == ADAPTIVE else op for op in GRAPH.ops]
    return replace(GRAPH, ops=tuple(ops))


def with_requant(**changes: Any) -> Graph:
    """Return GRAPH with the residual convolution's tables changed."""
    return with_op(Conv2D, requant=replace(last(Conv2D).requant, **changes))


def with_value(name: str, **changes: Any) -> Graph:
    """Return GRAPH with one value changed."""
    values = tuple(
        replace(value, **changes) if value.name == name else value for value in GRAPH.values
    )
    return replace(GRAPH, values=values)


def viewed_input() -> Graph:
    """Return a graph with an output that is a view of a view of its input."""
    builder = GraphBuilder((2, 3, 5), 2, seed=1)
    view = builder.reshape(builder.reshape("input", (1, 5, 6)), (1, 1, 30))
    return builder.graph({builder.linear(view, 3): "plain", view: "plain"})


def large_output() -> Graph:
    """Return a graph whose second output has more rows than the firmware counts."""
    builder = GraphBuilder((65537, 1, 1), 2, seed=1)
    wide = builder.conv("input", 1, (1, 1), stride=(1, 1))
    return builder.graph({builder.pool(wide, MaxPool, (3, 1), (3, 1)): "map", wide: "map"})


def tall_map() -> Graph:
    """Return a graph with more rows than a resizing counts."""
    builder = GraphBuilder((1, 1, 1), 1, seed=1)
    tall = builder.bilinear(builder.conv("input", 1, (1, 1)), (2**19, 1))
    builder.pool(tall, MaxPool, (2, 1), (2**12, 1))
    return builder.graph()


def wide_product() -> Graph:
    """Return a graph with a product whose sums may be too large once they are shifted."""
    builder = GraphBuilder((1, 1, 4099), 2, seed=1)
    builder.matmul("input", "input")
    op = builder.ops[-1]
    assert isinstance(op, Matmul)
    builder.ops[-1] = replace(op, pre_shift=8)
    return builder.graph()


def changed(array: np.ndarray, index: Any, value: int) -> np.ndarray:
    """Return a copy of ``array`` with one entry replaced."""
    copy = array.copy()
    copy[index] = value
    return copy


CONV = last(Conv2D)
LINEAR = last(Linear)
NEVER_GROUPS = changed(CONV.group_level, ..., NEVER)

BROKEN: dict[str, Callable[[], Graph]] = {
    "the name is a lower-case C identifier": lambda: replace(GRAPH, name="My-Net"),
    "1..16 levels": lambda: replace(GRAPH, levels=()),
    "level names are unique": lambda: replace(GRAPH, levels=(GRAPH.levels[0],) * 2),
    "level 0 is the sparsest": lambda: replace(GRAPH, levels=GRAPH.levels[::-1]),
    "sparsity is 0..1": lambda: replace(
        GRAPH, levels=(replace(GRAPH.levels[0], sparsity=1.5), GRAPH.levels[1])
    ),
    "accuracy_float is 0..1": lambda: replace(
        GRAPH, levels=(replace(GRAPH.levels[0], accuracy_float=float("nan")), GRAPH.levels[1])
    ),
    "value names are unique": lambda: replace(GRAPH, values=(*GRAPH.values, GRAPH.values[0])),
    "shape is h, w, c": lambda: with_value("value0", shape=(0, 5, 5)),
    "one scale for each of 2 levels": lambda: with_value("value0", scale=(1.0,)),
    "scales are finite": lambda: with_value("value0", scale=(1.0, float("inf"))),
    "zero point is -128..127": lambda: with_value("value0", zero_point=128),
    "one scale for all levels": lambda: with_value("input", scale=(1.0, 2.0)),
    "inputs and outputs are values": lambda: replace(GRAPH, outputs=("nothing",)),
    "there are 1..255 inputs": lambda: replace(GRAPH, inputs=()),
    "there are 1..255 outputs": lambda: replace(GRAPH, outputs=()),
    "inputs are listed once": lambda: replace(GRAPH, inputs=("input", "input")),
    "outputs are listed once": lambda: replace(GRAPH, outputs=GRAPH.outputs * 2),
    "an operator computes each output": lambda: replace(GRAPH, outputs=(*GRAPH.outputs, "input")),
    "no input, no view of one": lambda: viewed_input(),
    "meaning is one of plain, pixels": lambda: with_value("input", meaning="smell"),
    "only inputs and outputs have a meaning": lambda: with_value("value3", meaning="map"),
    "extents are at most 65535": lambda: large_output(),
    "op names are unique": lambda: with_op(Linear, name=CONV.name),
    "inputs are values of the graph": lambda: with_op(Linear, input="nothing"),
    "inputs are defined before": lambda: replace(GRAPH, ops=GRAPH.ops[::-1]),
    "the output is a value of the graph": lambda: with_op(Linear, output="nothing"),
    "every value is written once": lambda: with_op(Linear, output="value0"),
    "every value is written": lambda: replace(
        GRAPH, values=(*GRAPH.values, Value("orphan", (1, 1, 1), (1.0, 1.0), 0))
    ),
    "every value but the outputs is used": lambda: replace(
        GRAPH,
        values=(*GRAPH.values, Value("orphan", GRAPH.values[1].shape, (1.0, 1.0), 0)),
        ops=(*GRAPH.ops, replace(GRAPH.ops[0], name="spare", output="orphan")),
    ),
    "weight has 4 dimensions": lambda: with_op(Conv2D, weight=CONV.weight[0]),
    "weight has 2 dimensions": lambda: with_op(Linear, weight=LINEAR.weight[0]),
    "weight has 5 input channels per group": lambda: with_op(Conv2D, weight=CONV.weight[..., :4]),
    "weight has 60 inputs": lambda: with_op(Linear, weight=LINEAR.weight[:, :-1]),
    "weights are int8": lambda: with_op(Conv2D, weight=CONV.weight.astype(np.int16)),
    "weights are symmetric": lambda: with_op(
        Conv2D, weight=changed(CONV.weight, (0, 0, 0, 0), -128)
    ),
    "stride is at least 1": lambda: with_op(Conv2D, stride=(0, 1)),
    "padding is at least 0 and smaller": lambda: with_op(Conv2D, padding=(3, 1, 1, 1)),
    "groups divides 5 input": lambda: with_op(Conv2D, groups=3),
    "group_level only where groups is 1 or on depthwise layers": lambda: with_op(
        Conv2D, groups=5, weight=np.concatenate([CONV.weight[..., :1]] * 2)
    ),
    "group_size is 1, 2 or 4": lambda: with_op(Conv2D, group_size=3),
    "group_size is 1 without group_level": lambda: with_op(Conv2D, group_level=None),
    "group_level is uint8 of shape": lambda: with_op(
        Conv2D, group_level=CONV.group_level.astype(np.int8)
    ),
    "group_level is below 2 or 255": lambda: with_op(
        Conv2D, group_level=changed(CONV.group_level, (0, 0, 0, 0), 2)
    ),
    "weights of groups no level keeps are zero": lambda: with_op(Conv2D, group_level=NEVER_GROUPS),
    "multiplier is int16 of shape (2, 5)": lambda: with_requant(
        multiplier=CONV.requant.multiplier[:1]
    ),
    "bias is int16 of shape (5,)": lambda: with_requant(bias=CONV.requant.bias.astype(np.int32)),
    "bias_delta is int8": lambda: with_requant(bias_delta=CONV.requant.bias_delta[:, :2]),
    "bias_delta of the densest level": lambda: with_requant(
        bias_delta=changed(CONV.requant.bias_delta, (1, 0), 3)
    ),
    "multiplier_shift is 0..16": lambda: with_requant(multiplier_shift=17),
    "bias_delta_shift is 0..8": lambda: with_requant(bias_delta_shift=-1),
    "fraction_bits is 0..8": lambda: with_requant(fraction_bits=9),
    "pre_shift is 0..8": lambda: with_requant(pre_shift=9),
    "act_min <= act_max": lambda: with_op(Conv2D, act_min=5, act_max=4),
    "residual has the output's shape": lambda: with_op(
        Conv2D, residual=replace(CONV.residual, input="input")
    ),
    "residual multiplier is int32": lambda: with_op(
        Conv2D, residual=replace(CONV.residual, multiplier=np.zeros(3, np.int32))
    ),
    "residual multiplier is below 2**22": lambda: with_op(
        Conv2D, residual=replace(CONV.residual, multiplier=np.array([0, -(2**22)], np.int32))
    ),
    "the second input has the shape": lambda: with_op(Add, inputs=("value1", "input")),
    "shift is 0..31": lambda: with_op(Add, shift=32),
    "add tables are int32": lambda: with_op(Add, offset=np.zeros(2, np.int64)),
    "multiplier is below 2**22": lambda: with_op(Add, multiplier=np.full((2, 2), 2**22, np.int32)),
    "a set has 1 or 35 positions": lambda: with_op(Normalize, positions=5),
    "a set's channels divide 5": lambda: with_op(Normalize, channels=2),
    "normalize table is int32": lambda: with_op(Normalize, table=np.zeros((2, 4), np.int64)),
    "the gain's mantissa": lambda: with_op(Normalize, table=np.zeros((2, 4), np.int32)),
    "gain times the root": lambda: with_op(
        Normalize, table=np.full((2, 4), [2**30, 7, 0, 0], np.int32)
    ),
    "E is below 2**61": lambda: with_op(
        Normalize, table=np.full((2, 4), [2**30, 25, 1, 31], np.int32)
    ),
    "shift is 0..22": lambda: with_op(Mul, shift=23),
    "both matrices have batch and depth": lambda: with_op(
        Matmul, inputs=(last(Matmul).inputs[0], "input"), by_columns=False
    ),
    "fraction bits are 0..8": lambda: with_op(Matmul, fraction_bits=9),
    "pre-shift is 0..8": lambda: with_op(Matmul, pre_shift=-1),
    "matmul multiplier is int32": lambda: with_op(Matmul, multiplier=np.zeros(2, np.int64)),
    "the sums fit int32": lambda: wide_product(),
    "mul tables are int32": lambda: with_op(Mul, offset=np.zeros(2, np.int64)),
    "multiplier is below 2**15": lambda: with_op(Mul, multiplier=np.full(2, 2**15, np.int32)),
    "the product fits int32": lambda: with_op(Mul, offset=np.full(2, 2**31 - 1, np.int32)),
    "the sum fits int32": lambda: with_op(Add, offset=np.full(2, 2**31 - 1, np.int32)),
    "scale and zero point pass through": lambda: with_value(last(MaxPool).output, zero_point=1),
    "at least two inputs": lambda: with_op(Concat, inputs=(last(Reshape).output,)),
    "the axis is 0, 1 or 2": lambda: with_op(Concat, axis=3),
    "all inputs have the shape (1, 1, 30) but for axis 2": lambda: with_op(
        Concat, inputs=(last(Reshape).output, last(MaxPool).output)
    ),
    "padding of h, w, c is at least 0": lambda: with_op(Pad, after=(0, -1, 2)),
    "the output has the shape (2, 1, 63)": lambda: with_op(Pad, before=(1, 0, 0), after=(0, 0, 3)),
    "at most 6 loops": lambda: with_op(Rearrange, loops=((1, 0),) * 5 + ((2, -30), (30, -1))),
    "loops go round at least once": lambda: with_op(Rearrange, loops=((0, 1), (60, -1))),
    "the loops go round 60 times in all": lambda: with_op(Rearrange, loops=((59, -1),)),
    "addresses are 0..59": lambda: with_op(Rearrange, offset=58),
    "align_corners is 0 or 1": lambda: with_op(Bilinear, align_corners=2),
    "the output has 60 channels": lambda: with_value(last(Bilinear).output, shape=(1, 1, 61)),
    "twice the output's extent times the input's": lambda: tall_map(),
    "kernel is at least 1": lambda: with_op(MaxPool, kernel=(0, 1)),
    "no padding along an adaptive height": lambda: with_pool(padding=(1, 0, 0, 0)),
    "the kernel of an adaptive width is 1": lambda: with_pool(kernel=(1, 2)),
    "the output has the shape (2, 1, 60)": lambda: with_value(ADAPTIVE, shape=(2, 1, 61)),
    "as much padding is counted as there is": lambda: with_op(AvgPool, counted=(0, 1, 0, 0)),
    "a window has at most 4096 elements": lambda: with_op(AvgPool, kernel=(65, 64)),
    "table is int8 of shape (1, 256) or (2, 256)": lambda: with_op(
        Lookup, table=np.zeros((3, 256), np.int8)
    ),
    "table is uint16": lambda: with_op(Softmax, table=np.zeros(255, np.uint16)),
    "table falls from 2**15": lambda: with_op(Softmax, table=np.zeros(256, np.uint16)),
    "output scale is 1/gain with zero point -128": lambda: with_value(
        last(Softmax).output, zero_point=0
    ),
    "the output has the shape (1, 1, 4)": lambda: with_value(last(Linear).output, shape=(1, 4, 1)),
    "the output has 30 elements": lambda: with_value(last(Reshape).output, shape=(1, 1, 31)),
}


def test_valid_graphs_pass() -> None:
    assert verify(GRAPH) is GRAPH
    assert {type(op).__name__ for op in GRAPH.ops} == set(OPERATORS)
    for seed in range(60):
        verify(random_graph(seed))
        verify(random_graph(seed, blocks=2, inputs=1 + seed % 3, outputs=1 + seed % 4))


def test_an_output_may_be_read_and_viewed() -> None:
    builder = GraphBuilder((7, 5, 3), 2, seed=1)
    first = builder.conv("input", 4, (2, 2))
    view = builder.reshape(first, (1, 1, 6 * 4 * 4))
    last = builder.linear(builder.conv(first, 2, (1, 1)), 3)
    verify(builder.graph({last: "class_scores", first: "map", view: "plain"}))


@pytest.mark.parametrize("rule", BROKEN)
def test_broken_rule_is_named(rule: str) -> None:
    graph = BROKEN[rule]()
    with pytest.raises(VerifyError) as caught:
        verify(graph, "some_pass")
    assert rule in caught.value.rule
    assert caught.value.pass_name == "some_pass"
    assert isinstance(caught.value, UserError)
    message = str(caught.value)
    assert "some_pass" in message and caught.value.node in message
    assert str(caught.value.value) in message


@pytest.mark.parametrize(("zero_point", "in_c"), [(-128, 70_000), (0, 140_000)])
def test_int32_overflow_is_found_at_the_level_where_it_happens(zero_point: int, in_c: int) -> None:
    """Sums of signed inputs, at most 128 in magnitude, may have twice as many terms."""
    weight = np.full((1, in_c), 127, np.int8)
    level = np.zeros((1, in_c), np.uint8)
    level[0, in_c // 7 * 6 :] = 1
    requant = Requant(
        multiplier=np.ones((2, 1), np.int16),
        multiplier_shift=0,
        bias=np.zeros(1, np.int16),
        bias_delta=np.zeros((2, 1), np.int8),
        bias_delta_shift=0,
        fraction_bits=0,
        pre_shift=0,
    )
    op = Linear("fc", "input", "out", weight, 1, level, requant, -128, 127)
    base = replace(
        GRAPH,
        outputs=("out",),
        ops=(op,),
        values=(
            Value("input", (100, in_c // 100, 1), (1.0, 1.0), zero_point),
            Value("out", (1, 1, 1), (1.0, 1.0), 0),
        ),
    )
    with pytest.raises(VerifyError, match="level 1, channel 0"):
        verify(base)
    fits = replace(base, ops=(replace(op, group_level=level + np.uint8(1) * (level == 1) * 254),))
    with pytest.raises(VerifyError, match="no level keeps"):
        verify(fits)
    kept = np.where(level == 1, 0, weight).astype(np.int8)
    verify(replace(base, ops=(replace(op, weight=kept),)))
    shifted = replace(requant, pre_shift=1)
    with pytest.raises(VerifyError, match="<< pre_shift"):
        verify(replace(base, ops=(replace(op, weight=kept, requant=shifted),)))


@pytest.mark.parametrize("zero_point", [-128, -5, 0, 7, 127])
def test_the_bound_of_accumulators_is_reached_and_not_passed(zero_point: int) -> None:
    value = Value("x", (1, 1, 1), (1.0,), zero_point)
    steps = np.arange(-128, 128) - zero_point
    assert value.span == np.abs(steps).max()


def test_only_what_cmsis_nn_computes_has_the_tflite_rule() -> None:
    from codegen.graph.ir import TfliteRequant

    rule = TfliteRequant(
        np.ones((2, 5), np.int32), np.zeros((2, 5), np.int8), np.zeros((2, 5), np.int32)
    )
    dense = {"requant": rule, "group_level": None, "group_size": 1}
    with pytest.raises(VerifyError, match="got it adds a residual"):
        verify(with_op(Conv2D, **dense))
    with pytest.raises(VerifyError, match="got its levels have weights of their own"):
        verify(with_op(Conv2D, requant=rule, residual=None))
    with pytest.raises(VerifyError, match="stride is at least 1"):
        verify(with_op(Conv2D, residual=None, stride=(0, 1), **dense))
    verify(with_op(Conv2D, residual=None, **dense))
    assert isinstance(CONV.residual, Residual) and isinstance(last(Reshape), Reshape)
