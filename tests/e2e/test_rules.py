"""Every combination of rounding rule, operator and form: refused, or the same bits in C."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from codegen.emit import project
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import NEVER, Graph, Requant, Residual, TfliteRequant
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.graph.synthetic import random_inputs
from codegen.graph.verify import VerifyError, verify
from codegen.measure import compare
from codegen.target import toolchain
from codegen.target.target import resolve
from tests.support.cmsis_nn.double import variables
from tests.support.projects import SHA256, need_tools

SHAPE = (5, 7, 8)
LEVELS = 2
GROUPS = {"conv": 1, "grouped": 2, "depthwise": 8, "multiplied": 8}
FORMS = ("dense", "equal", "nested")
PADDINGS = ((1, 1, 1, 1), (1, 0, 1, 2), (2, 2, 0, 0))
"""All keep the extents of a 3x3 window at stride 1."""


@dataclass(frozen=True)
class Case:
    """One layer."""

    kind: str
    rule: str
    form: str
    residual: bool
    padding: tuple[int, int, int, int]

    @property
    def refused(self) -> bool:
        """Return whether no kernel computes it, by the contract."""
        if self.form != "dense" and self.kind not in ("conv", "linear", "depthwise"):
            return True
        if self.form != "dense" and self.kind == "depthwise" and self.residual:
            return True
        if self.rule == "nestnet":
            return False
        past_row = self.kind == "depthwise" and self.padding[3] == 2
        return self.form != "dense" or self.residual or self.kind == "grouped" or past_row


def cases() -> Iterator[Case]:
    for kind, rule, form in product(GROUPS, ("nestnet", "tflite"), FORMS):
        for residual, padding in product((False, True), PADDINGS):
            yield Case(kind, rule, form, residual, padding)
    for rule, form in product(("nestnet", "tflite"), FORMS):
        yield Case("linear", rule, form, False, (0, 0, 0, 0))


def append(net: GraphBuilder, case: Case) -> None:
    """Append a dense layer with the case's extents under the nestnet rule."""
    source = net.last
    if case.kind == "linear":
        net.reshape(net.linear(source, int(np.prod(SHAPE))), SHAPE)
        return
    out_c = 16 if case.kind == "multiplied" else 8
    residual = source if case.residual and out_c == 8 else None
    groups = GROUPS[case.kind]
    net.conv(source, out_c, (3, 3), padding=case.padding, groups=groups, residual=residual)


def changed(op: Conv2D | Linear, case: Case, zero_point: int) -> Conv2D | Linear:
    """Return ``op`` under the rule and in the form of ``case``, whether or not that is allowed."""
    if case.rule == "tflite":
        assert isinstance(op.requant, Requant)
        op = replace(op, requant=tflite(op.requant, zero_point))
    if isinstance(op, Conv2D) and case.residual and op.residual is None:
        op = replace(op, residual=Residual(op.input, np.full(LEVELS, 2**16, np.int32)))
    if case.form == "dense":
        return op
    whole = isinstance(op, Conv2D) and op.groups > 1
    shape = (len(op.weight), 1, 1, 1) if whole else op.weight.shape
    level = np.zeros(shape, np.uint8)
    if case.form == "nested":
        level.reshape(-1)[::3] = 1
        level.reshape(-1)[1::7] = NEVER
    keep = np.broadcast_to(level, op.weight.shape) != NEVER
    return replace(op, group_level=level, weight=np.where(keep, op.weight, 0).astype(np.int8))


def tflite(requant: Requant, zero_point: int) -> TfliteRequant:
    """Return about the same numbers under the TFLite rule, multipliers made positive."""
    unit = 2.0**requant.fraction_bits
    fixed = np.stack([requant.multiplier_q32(level) for level in range(LEVELS)])
    bias = np.stack([requant.bias_q(level) for level in range(LEVELS)]) / unit - zero_point
    real = np.abs(fixed * 2.0 ** (requant.pre_shift - 32) / unit)
    fraction, exponent = np.frexp(real)
    return TfliteRequant(
        np.minimum(np.rint(fraction * 2.0**31), 2**31 - 1).astype(np.int32),
        exponent.astype(np.int8),
        np.rint(bias / real).astype(np.int32),
    )


def network(chosen: list[Case]) -> Graph:
    """Return ``chosen`` one after the other."""
    net = GraphBuilder(SHAPE, LEVELS, 7, "rules")
    places = []
    for case in chosen:
        places.append(len(net.ops))
        append(net, case)
        if net.shape(net.last)[2] != SHAPE[2]:
            net.conv(net.last, SHAPE[2], (1, 1))
    graph = net.graph()
    ops = list(graph.ops)
    for place, case in zip(places, chosen, strict=True):
        op = ops[place]
        assert isinstance(op, Conv2D | Linear)
        ops[place] = changed(op, case, graph.value(op.output).zero_point)
    return replace(graph, ops=tuple(ops))


def test_what_is_refused() -> None:
    for case in cases():
        graph = network([case])
        if case.residual and case.kind == "multiplied":
            continue  # the shapes differ: refused in every rule and form
        try:
            verify(graph)
            refused = False
        except VerifyError:
            refused = True
        assert refused == case.refused, case


@pytest.mark.parametrize("kernels", ["nestnet", "cmsis-nn"])
def test_the_rest_is_bit_exact(tmp_path: Path, kernels: str) -> None:
    need_tools("host")
    chosen = [
        case
        for case in cases()
        if not case.refused and not (case.residual and case.kind == "multiplied")
    ]
    assert len(chosen) > 30
    graph = verify(network(chosen))
    folder = project.write(graph, SHA256, resolve("host", kernels=kernels), tmp_path / "out")
    built = toolchain.build(folder, variables(tmp_path, "host"))
    made = compare.compare(built, graph, random_inputs(graph, 3, seed=5), None, range(LEVELS))
    assert made.bit_exact, [f"{item} {item.layer}" for item in made.differences]
