"""Samples in a row: modules that take (n, c, w), and what else a network of them may be fed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nestnet
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph import reference
from nestnet.frontend.torch_export import fed_shape
from nestnet.frontend.tracing import trace
from nestnet.pixels import pixels_of
from tests.support.exports import int8
from tests.support.nets import CASES, conv_bn, head, trained_like


def rows(channels: int = 3) -> nn.Module:
    """Return a small classifier of samples in a row."""
    return nn.Sequential(
        nn.Conv1d(channels, 5, 3, padding=1), nn.BatchNorm1d(5), nn.ReLU(), nn.Conv1d(5, 7, 3),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(7, 2),
    )  # fmt: skip


class Any(nn.Module):
    """Something that runs for maps and for rows."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(-1).flatten(1)


class Transposed(nn.Module):
    """Something that mixes what it is not fed into the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(0, 1) if x.dim() == 4 else x.mean(2)


@pytest.mark.parametrize(
    ("make", "shape", "fed"),
    [
        (rows, (13, 3), (3, 13)),
        (rows, (1, 13, 3), (3, 13)),
        (lambda: rows(17), (1, 13, 17), (17, 13)),  # the batch of the trial
        (lambda: nn.Sequential(conv_bn(3, 5, (1, 3)), *head(5)), (1, 13, 3), (3, 1, 13)),
        (lambda: nn.Sequential(conv_bn(3, 5, (1, 3)), *head(5)), (13, 1, 3), (3, 13, 1)),
        (Any, (1, 13, 3), (3, 1, 13)),
        (Any, (13, 3), (3, 13)),
        (Transposed, (1, 13, 3), (3, 13)),
        (lambda: nn.Conv2d(5, 3, 1), (1, 13, 3), (3, 1, 13)),  # fits neither: the error is a map's
    ],
)  # fmt: skip
def test_what_a_module_is_fed_is_found(
    make: Callable[[], nn.Module], shape: tuple[int, ...], fed: tuple[int, ...]
) -> None:
    assert fed_shape(make(), shape) == fed


@pytest.mark.parametrize(
    ("module", "shape", "words"),
    [
        (rows(), (3, 13), r"samples, channels; .* takes 3 channels. Give \(13, 3\)"),
        (rows(), (3, 1, 13), r"samples, channels; .* takes 3 channels. Give \(1, 13, 3\)"),
        (nn.Sequential(conv_bn(3, 5), *head(5)), (7, 9), r"height.*Give \(7, 9, 3\)"),
        (rows(), (1, 13, 4), "expected a module whose forward takes one batch x 4 x 1 x 13"),
        (rows(), (13, 4), "expected a module whose forward takes one batch x 4 x 13"),
        (rows(), (5, 13, 3), "expected a module whose forward takes one batch x 3 x 5 x 13"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(
    module: nn.Module, shape: tuple[int, ...], words: str
) -> None:
    with pytest.raises(UserError, match=f"(?s){words}"):
        nestnet.nest(module, shape)


@pytest.mark.parametrize("mean", [0.4, (0.1, 0.3, 0.7)])
def test_a_network_takes_rows_with_and_without_a_height(mean: float | tuple[float, ...]) -> None:
    seen = pixels_of((mean,) if isinstance(mean, float) else mean, (0.25,), 3)
    net = trace(trained_like(next(case for case in CASES if case.name == "samples")), (47, 3), seen)
    assert net.input_shape == (1, 47, 3)
    assert all(layer.module.weight.dim() in (2, 4) for layer in net.weighted().values())
    x = torch.randn(2, 3, 47, generator=torch.Generator().manual_seed(0))
    net.eval()
    assert torch.equal(net(x), net(x[:, :, None]))
    with pytest.raises(UserError, match=r"wrong shape; got \(2, 47, 3\)"):
        net(x.transpose(1, 2))
    with pytest.raises(UserError, match="wrong shape"):
        trace(nn.Sequential(conv_bn(3, 5, 1), *head(5)), (2, 13, 3))(torch.zeros(2, 3, 13))


def test_a_row_is_a_map_of_height_1(tmp_path: Path) -> None:
    """The same weights with a height of 1 give the same integer network."""
    torch.manual_seed(0)
    flat = rows()
    tall = nn.Sequential(
        nn.Conv2d(3, 5, (1, 3), padding=(0, 1)), nn.BatchNorm2d(5), nn.ReLU(),
        nn.Conv2d(5, 7, (1, 3)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 2),
    )  # fmt: skip
    state = flat.state_dict()
    tall.load_state_dict(
        {name: value[:, :, None] if value.dim() == 3 else value for name, value in state.items()}
    )
    images = np.random.default_rng(1).integers(0, 256, (17, 1, 13, 3), dtype=np.uint8)
    answers = []
    for module in (flat, tall):
        net = nestnet.quantize(nestnet.nest(module, (1, 13, 3), sparsity=(0.6, 0.3)), images)
        graph = nestfile.load(nestnet.export(net, tmp_path / "net.nestnet"))
        kinds = [type(op) for op in graph.ops]
        answers.append((kinds, [reference.run_one(graph, int8(images), k) for k in range(2)]))
    assert answers[0][0] == answers[1][0]
    assert np.array_equal(answers[0][1], answers[1][1])
    assert len(np.unique(answers[0][1])) > 5
