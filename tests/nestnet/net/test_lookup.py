"""Activations that become tables: their ranges, their form in the graph, their gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codegen.graph import reference
from codegen.graph.ops.lookup import Lookup
from codegen.lower.lowering import lower
from codegen.target.target import resolve
from nestnet.exporting.exporter import export
from nestnet.frontend.capture import capture
from nestnet.net.network import NestedNet, predict, to_float_input
from nestnet.net.ops import lookup as stages
from nestnet.sparsity.storage import Storage
from tests.support.exports import DENSITIES, PROVENANCE, int8, levels, prepared, stage_differences
from tests.support.nets import conv_bn, head

SHAPE = (11, 7, 3)

ACTIVATIONS = (
    *(nn.LeakyReLU(0.3), nn.LeakyReLU(-0.2), nn.Hardswish(), nn.Hardsigmoid(), nn.Sigmoid()),
    *(nn.SiLU(), nn.Tanh(), nn.GELU(), nn.GELU("tanh"), nn.ELU(), nn.ELU(0.3), nn.SELU()),
    *(nn.CELU(0.5), nn.Softplus(), nn.Softplus(2, 3), nn.Mish()),
)


class Apply(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def network(activation: nn.Module) -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(conv_bn(3, 11), activation, nn.Conv2d(11, 13, 3), activation, *head(13))


def stages_of(activation: nn.Module) -> list[stages.Lookup]:
    module = nn.Sequential(nn.Conv2d(3, 5, 3), activation, nn.Conv2d(5, 5, 1), *head(5))
    found = capture(module, SHAPE).network.stages
    return [stage for stage in found if isinstance(stage, stages.Lookup)]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_tables_are_the_trained_network(activation: nn.Module) -> None:
    """Fake quantization reads the table; together with all other rounding 25 dB are left."""
    net, pixels = prepared(network(activation), SHAPE, 2, seed=3)
    graph = export(net, levels(), PROVENANCE, "net")
    names = {op.name for op in graph.ops if isinstance(op, Lookup)}
    assert len(names) == 2
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
        assert all(differences[name].max() == 0 for name in names)


@pytest.mark.parametrize("activation", [nn.Sigmoid(), nn.Hardsigmoid()], ids=repr)
def test_a_sigmoid_makes_0_to_1(activation: nn.Module) -> None:
    graph = export(prepared(network(activation), SHAPE, 1, seed=1)[0], levels(), PROVENANCE, "net")
    for op in graph.ops:
        if isinstance(op, Lookup):
            value = graph.value(op.output)
            assert value.zero_point == -128
            assert value.scale == pytest.approx((1 / 255,) * len(DENSITIES))


@pytest.mark.parametrize(
    ("activation", "inputs", "outputs"),
    [
        (nn.SiLU(), False, False), (nn.SiLU(), True, True), (nn.Softplus(), False, True),
        (nn.Softplus(-1.0), False, False), (nn.Hardswish(), False, False), (nn.Tanh(), True, True),
        (nn.LeakyReLU(-0.1), False, True), (nn.Sequential(nn.Tanh(), nn.ReLU()), False, True),
    ],
)  # fmt: skip
def test_what_cannot_be_negative_is_known(
    activation: nn.Module, inputs: bool, outputs: bool
) -> None:
    (stage,) = stages_of(activation)
    assert stage.non_negative((inputs,)) == outputs


def test_functions_and_limits_in_a_row_are_one_table() -> None:
    row = nn.Sequential(nn.SiLU(), nn.Tanh(), nn.ReLU6(), nn.LeakyReLU(0.5), nn.ReLU())
    (stage,) = stages_of(row)
    assert len(stage.functions) == 5
    x = torch.linspace(-9, 9, 37)
    assert torch.allclose(stage.of(x), row(x))


def test_a_function_that_two_read_keeps_its_table() -> None:
    def both(x: Tensor) -> Tensor:
        y = F.silu(x)
        return torch.tanh(y) + F.max_pool2d(y, 3, 1, 1)

    assert [len(stage.functions) for stage in stages_of(Apply(both))] == [1, 1]


def test_a_limit_that_stands_alone_joins_the_table_behind_it() -> None:
    (stage,) = stages_of(Apply(lambda x: torch.tanh(F.avg_pool2d(x, 2).relu())))
    assert len(stage.functions) == 2


@pytest.mark.parametrize("activation", [nn.Hardswish(), nn.Sigmoid(), nn.LeakyReLU(0.3)], ids=repr)
def test_tables_are_counted_before_they_are_made(activation: nn.Module) -> None:
    net, _ = prepared(network(activation), SHAPE, 1, seed=2)
    image = lower(export(net, levels(), PROVENANCE, "net"), resolve("host"))
    counted = Storage(net, "raw").table_bytes
    made = sum(layer.flash_bytes - layer.stored_bytes for layer in image.layers)
    equal = sum(
        256 * (len(DENSITIES) - len(layer.op.table))
        for layer in image.layers
        if isinstance(layer.op, Lookup)
    )
    assert counted == made + equal and counted >= 2 * 256 * len(DENSITIES)


def test_levels_with_one_scale_share_a_table() -> None:
    module = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU6(), nn.Sigmoid(), *head(5))
    net, _ = prepared(module, SHAPE, 1, seed=2)
    graph = export(net, levels(), PROVENANCE, "net")
    (table,) = (op.table for op in graph.ops if isinstance(op, Lookup))
    assert len(table) == 1
    plain, _ = prepared(nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU6(), *head(5)), SHAPE, 1, seed=2)
    assert Storage(net, "raw").table_bytes == Storage(plain, "raw").table_bytes + 256


def test_gradients_are_those_of_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    net, pixels = prepared(network(nn.SiLU()), SHAPE, 1, seed=4)
    found = [gradients(net, pixels)]
    monkeypatch.setattr(stages, "settled", lambda net, step: False)
    found.append(gradients(net, pixels))
    for mine, plain in zip(*found, strict=True):
        assert torch.cosine_similarity(mine.flatten(), plain.flatten(), 0) > 0.99


def gradients(net: NestedNet, pixels: np.ndarray) -> list[Tensor]:
    net.zero_grad()
    net.train()
    net.freeze_observers()
    F.cross_entropy(net(to_float_input(pixels[:20]), 1), torch.arange(20) % 3).backward()
    return [p.grad for p in net.parameters() if p.grad is not None]
