"""Products of activations: the trained network has the integers' bits, in whatever layout."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from codegen.errors import UserError
from codegen.graph.ops.matmul import Matmul
from codegen.graph.ops.rearrange import Rearrange
from nestnet.exporting.exporter import export
from nestnet.frontend.tracing import trace
from tests.support.exports import DENSITIES, PROVENANCE, levels, prepared, stage_differences
from tests.support.nets import CASES, images, trained_like

SHAPE = (7, 5, 2)


class Attends(nn.Module):
    """What ``function`` makes of three times 4 channels, then scores."""

    def __init__(self, function: Callable[..., Tensor], channels: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 12, 1)
        self.last = nn.Conv2d(channels, 3, 1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.function(*self.first(x).split(4, 1))).mean((2, 3))  # type: ignore[no-any-return]


def of_maps(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q.flatten(2).transpose(1, 2) @ k.flatten(2)
    return (v.flatten(2) @ scores.transpose(1, 2)).clamp(0, 6).view(v.shape)


def of_rows(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(2, 3)) @ v / 3


WAYS = {"maps": of_maps, "rows": of_rows}


@pytest.mark.parametrize("name", ["tokens", "attention of channels"])
def test_products_are_the_trained_network(name: str) -> None:
    """Under settled ranges fake quantization has the integer operator's bits, at every level."""
    case = next(case for case in CASES if case.name == name)
    net, pixels = prepared(trained_like(case), case.shape, 2, seed=3)
    graph = export(net, levels(), PROVENANCE, "net")
    found = [op.name for op in graph.ops if type(op).__name__ in ("Matmul", "Softmax")]
    assert len(found) >= 6
    for level in range(len(DENSITIES)):
        differences = dict(stage_differences(net, graph, pixels, level))
        assert all(differences[each].max() == 0 for each in found)


@pytest.mark.parametrize("way", WAYS)
def test_products_of_maps_compute_the_same(way: str) -> None:
    module = Attends(WAYS[way])
    net = trace(module, SHAPE).eval()
    x = images(SHAPE, 3, 1)
    torch.testing.assert_close(net(x), module.eval()(x))


def test_the_layout_is_the_one_that_moves_least() -> None:
    """Of maps, queries and keys are runs of channels, and scores stay where they are."""
    net, _ = prepared(Attends(of_maps), SHAPE, 1, seed=1)
    graph = export(net, levels(), PROVENANCE, "net")
    products = [op for op in graph.ops if isinstance(op, Matmul)]
    moves = {op.output: op for op in graph.ops if isinstance(op, Rearrange)}
    assert all(moves[name].loops[-1] == (4, 1) for name in products[0].inputs)
    assert products[0].output in products[1].inputs
    assert products[1].act_min == -128 and graph.value(products[1].output).zero_point == -128


def test_factors_are_part_of_the_product() -> None:
    steps = trace(Attends(of_rows), SHAPE).steps
    factors = [vars(step.stage)["factor"] for step in steps if "factor" in vars(step.stage)]
    assert factors == [1, pytest.approx(1 / 3)]


def test_gradients_reach_both_operands() -> None:
    net, pixels = prepared(Attends(of_rows), SHAPE, 2, seed=3)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 64 - 2
    net(x).square().sum().backward()
    gradient = net.weighted()["first"].weight.grad
    assert gradient is not None
    assert bool((gradient.reshape(3, 4, -1).abs().amax((1, 2)) > 0).all())


def test_a_product_with_no_room_is_refused_with_its_line() -> None:
    net, _ = prepared(Attends(of_rows), SHAPE, 1, seed=1)
    step = next(step for step in net.steps if "factor" in vars(step.stage))
    object.__setattr__(step.stage, "factor", 1e9)
    with pytest.raises(UserError, match=r"test_matmul\.py:\d+.*no room for its factor"):
        export(net, levels(), PROVENANCE, "net")
