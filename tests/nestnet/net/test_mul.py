"""Products of activations: gates by level, tables where both factors are of one tensor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codegen.graph import reference
from codegen.graph.ops.mul import Mul
from nestnet.exporting.exporter import export
from nestnet.frontend.capture import capture
from nestnet.net.network import predict
from nestnet.net.ops import lookup, mul
from nestnet.net.requant import make_mul
from tests.support.exports import DENSITIES, PROVENANCE, int8, levels, prepared, stage_differences
from tests.support.nets import CASES, head, trained_like

SHAPE = (11, 7, 3)


class Apply(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.mark.parametrize("name", ["gates, sigmoid", "gates, hardsigmoid"])
def test_products_are_the_trained_network(name: str) -> None:
    """Fake quantization has the integer product's bits; every level has scales of its own."""
    case = next(case for case in CASES if case.name == name)
    net, pixels = prepared(trained_like(case), case.shape, 2, seed=3)
    graph = export(net, levels(), PROVENANCE, "net")
    gates = [op for op in graph.ops if isinstance(op, Mul)]
    assert len(gates) == 5 and all(len(set(op.multiplier.tolist())) > 1 for op in gates[:4])
    net.set_quantize(False)
    for level in range(len(DENSITIES)):
        wanted = predict(net, pixels, level)
        value = graph.only_output
        steps = reference.run_one(graph, int8(pixels), level).reshape(wanted.shape).astype(float)
        noise = (steps - value.zero_point) * value.scale[level] - wanted
        assert 10 * np.log10(np.square(wanted).sum() / np.square(noise).sum()) > 25
    net.set_quantize(True)
    for level in range(len(DENSITIES)):
        differences = dict(stage_differences(net, graph, pixels, level))
        assert all(differences[gate.name].max() == 0 for gate in gates)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * torch.sigmoid(x),
        lambda x: x * F.relu6(x + 3) / 6,
        lambda x: x * (F.relu6(x + 3) / 6),
        lambda x: F.hardsigmoid(x) * x,
        lambda x: x * torch.tanh(F.softplus(x)),
        lambda x: x * x,
        lambda x: F.elu(x) - 0.5 * torch.tanh(x),
        lambda x: 1.702 * x * torch.sigmoid(1.702 * x) / 1.702,
    ],
)
def test_functions_of_one_tensor_are_one_table(function: Callable[[Tensor], Tensor]) -> None:
    module = nn.Sequential(nn.Conv2d(3, 5, 3), Apply(function), nn.Conv2d(5, 5, 1), *head(5))
    stages = capture(module, SHAPE).network.stages
    (table,) = (stage for stage in stages if isinstance(stage, lookup.Lookup))
    assert len(stages) == 6
    x = torch.linspace(-5, 5, 77, dtype=torch.float64)
    torch.testing.assert_close(table.of(x), function(x))


def test_what_others_read_too_stays() -> None:
    def twice(x: Tensor) -> Tensor:
        gate = torch.sigmoid(x)
        return x * gate + F.max_pool2d(gate, 3, 1, 1)

    module = nn.Sequential(nn.Conv2d(3, 5, 3), Apply(twice), *head(5))
    kinds = [type(stage) for stage in capture(module, SHAPE).network.stages]
    assert kinds.count(lookup.Lookup) == 1 and kinds.count(mul.Mul) == 1


@pytest.mark.parametrize("points", [(0, 0), (0, -128), (-128, -128), (5, 127)])
def test_multipliers_use_the_bits_there_are(points: tuple[int, int]) -> None:
    for gain in (2.0**-8, 0.003, 0.02, 0.4, 3.0):
        gains = np.array([gain, gain / 3])
        multiplier, offset, shift = make_mul(gains, points, 5)
        largest = (128 + abs(points[0])) * (128 + abs(points[1]))
        assert np.abs(multiplier).max() * largest + np.abs(offset).max() < 2**31
        if gain * largest < 512:  # or all but the smallest products saturate
            np.testing.assert_allclose(multiplier / 2.0**shift, gains, rtol=2e-3)
