"""Dense int8 layers against the TFLite interpreter.

Under the TFLite rule the reference gives its bits; under our rule it differs by at most one step
on at most 1 % of the outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from codegen.graph import reference
from codegen.graph.ir import Graph, Level, Provenance, Requant, TfliteRequant, Value
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.graph.requantize import make_requant
from codegen.graph.verify import verify

tflite_layer = pytest.importorskip("tests.support.tflite_layer", reason="needs ai-edge-litert")

KINDS = ("conv", "strided conv", "pointwise conv", "depthwise", "linear")


@dataclass(frozen=True)
class Case:
    """A random dense layer in real and in integer numbers."""

    kind: str
    images: np.ndarray
    weight: np.ndarray
    """In our layout."""
    bias: np.ndarray
    in_scale: np.float32
    weight_scale: np.ndarray
    out_scale: np.float32
    zero_points: tuple[int, int]
    stride: tuple[int, int]
    relu: bool


def make_case(kind: str, seed: int) -> Case:
    """Return a layer on an odd map whose outputs spread over int8."""
    rng = np.random.default_rng(seed)
    in_c, out_c = 13, 11
    shapes = {
        "conv": ((5, 11, 7, in_c), (out_c, 3, 2, in_c)),
        "strided conv": ((5, 11, 7, in_c), (out_c, 3, 3, in_c)),
        "pointwise conv": ((5, 11, 7, in_c), (out_c, 1, 1, in_c)),
        "depthwise": ((5, 11, 7, in_c), (in_c, 3, 3, 1)),
        "linear": ((97, 1, 1, 53), (out_c, 53)),
    }
    image_shape, weight_shape = shapes[kind]
    images = rng.integers(-128, 128, image_shape).astype(np.int8)
    weight = rng.normal(0, 40, weight_shape).clip(-127, 127).astype(np.int8)
    channels = weight_shape[0]
    relu = seed % 2 == 1
    in_scale, out_scale = np.float32(0.02), np.float32(0.05)
    taps = weight.size // channels
    spread = 40 * 74 * np.sqrt(taps)
    steps = rng.uniform(20, 45, channels) / spread
    weight_scale = (steps * out_scale / in_scale).astype(np.float32)
    bias = rng.integers(-spread, spread, channels).astype(np.int32)
    zero_points = (int(rng.integers(-20, 20)), -128 if relu else int(rng.integers(-20, 20)))
    stride = (2, 3) if kind == "strided conv" else (1, 1)
    return Case(
        kind, images, weight, bias, in_scale, weight_scale, out_scale, zero_points, stride, relu
    )


def multipliers(case: Case) -> np.ndarray:
    """Return output steps per accumulator step, as the interpreter computes them."""
    return (
        np.float64(case.in_scale)
        * case.weight_scale.astype(np.float64)
        / np.float64(case.out_scale)
    )


def graph_of(case: Case, requant: Requant | TfliteRequant) -> Graph:
    """Return the layer as an integer graph."""
    in_shape = case.images.shape[1:]
    channels = case.weight.shape[0]
    op: Conv2D | Linear
    if case.kind == "linear":
        op = Linear("layer", "input", "output", case.weight, 1, None, requant, -128, 127)
        out_shape = (1, 1, channels)
    else:
        groups = channels if case.kind == "depthwise" else 1
        op = Conv2D(
            "layer",
            "input",
            "output",
            case.weight,
            1,
            None,
            case.stride,
            (0, 0, 0, 0),
            groups,
            requant,
            -128,
            127,
        )
        out_shape = (
            (in_shape[0] - case.weight.shape[1]) // case.stride[0] + 1,
            (in_shape[1] - case.weight.shape[2]) // case.stride[1] + 1,
            channels,
        )
    values = (
        Value("input", in_shape, (float(case.in_scale),), case.zero_points[0]),
        Value("output", out_shape, (float(case.out_scale),), case.zero_points[1]),
    )
    return verify(
        Graph(
            "tflite",
            ("input",),
            ("output",),
            values,
            (op,),
            (Level("dense", 0.0, None, None),),
            Provenance("test", "0" * 64, "layer", "random", ()),
        )
    )


def interpreter_output(case: Case) -> np.ndarray:
    """Return what TFLite computes, in our output shape."""
    weight, images = case.weight, case.images
    kind = "linear" if case.kind == "linear" else "conv"
    if case.kind == "depthwise":
        kind, weight = "depthwise", np.ascontiguousarray(weight[..., 0].transpose(1, 2, 0)[None])
    if case.kind == "linear":
        images = images.reshape(len(images), -1)
    scales = (case.in_scale, case.weight_scale, case.out_scale)
    output: np.ndarray = tflite_layer.run(
        kind, images, weight, case.bias, scales, case.zero_points, case.stride, case.relu
    )
    return (
        output.reshape(len(images), *output.shape[1:])
        if output.ndim == 4
        else (output[:, None, None, :])
    )


def tflite_rule(case: Case) -> TfliteRequant:
    """Return the tables of TFLite's QuantizeMultiplier."""
    fraction, exponent = np.frexp(multipliers(case))
    fixed = np.rint(fraction * 2.0**31).astype(np.int64)
    exponent = exponent + (fixed == 2**31)
    fixed = np.where(fixed == 2**31, 2**30, fixed)
    return TfliteRequant(
        fixed.astype(np.int32)[None], exponent.astype(np.int8)[None], case.bias[None]
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", KINDS)
def test_tflite_rule_gives_the_interpreters_bits(kind: str, seed: int) -> None:
    case = make_case(kind, seed)
    expected = interpreter_output(case)
    got = reference.run_one(graph_of(case, tflite_rule(case)), case.images, 0)
    assert len(np.unique(expected)) > 60, "a saturated layer would prove little"
    assert np.array_equal(got, expected)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", KINDS)
def test_nestnet_rule_is_within_one_step(kind: str, seed: int) -> None:
    case = make_case(kind, seed)
    expected = interpreter_output(case).astype(int)
    multiplier = multipliers(case)[None]
    bound = np.abs(case.weight.astype(np.int64)).reshape(len(case.weight), -1).sum(axis=1) * 255
    requant = make_requant(multiplier, case.bias * multiplier + case.zero_points[1], bound)
    got = reference.run_one(graph_of(case, requant), case.images, 0).astype(int)
    difference = np.abs(got - expected)
    share = float((difference > 0).mean())
    print(f"{kind} seed {seed}: {share:.3%} of {difference.size} outputs differ")
    assert difference.max() <= 1 and share <= 0.01
