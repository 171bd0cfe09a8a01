"""Concatenation in a nested network: one grid for all that is joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codegen.errors import UserError
from codegen.graph import reference
from codegen.graph.ops.concat import Concat
from nestnet.exporting.exporter import export
from nestnet.frontend.capture import capture
from nestnet.frontend.tracing import trace
from nestnet.net.network import predict
from nestnet.net.ops import concat as stages
from nestnet.net.ops.clamp import Clamp
from nestnet.sparsity.storage import Storage
from tests.support.exports import DENSITIES, PROVENANCE, int8, levels, prepared, stage_differences
from tests.support.nets import head, images

SHAPE = (11, 7, 3)


class Joined(nn.Module):
    """``count`` convolutions of the image, joined by ``join``; ``limit`` makes each its own."""

    def __init__(
        self, join: Callable[[Tensor, Sequence[Tensor]], Tensor], count: int, out_c: int
    ) -> None:
        super().__init__()
        torch.manual_seed(count)
        self.join = join
        self.parts = nn.ModuleList(nn.Conv2d(3, 4 + i, 3, padding=1) for i in range(count))
        for index, part in enumerate(self.parts):
            part.weight.data *= 1 + index  # type: ignore[union-attr, operator]
        self.tail = nn.Sequential(nn.Conv2d(out_c, 5, 1), *head(5))
        self.register_buffer("constant", torch.ones(1, 1, 11, 7))

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(self.join(x, [part(x) for part in self.parts]))


def traced(join: Callable[[Tensor, Sequence[Tensor]], Tensor], count: int, out_c: int) -> list:
    return list(capture(Joined(join, count, out_c), SHAPE).network.stages)


@pytest.mark.parametrize("count", [2, 3, 8])
def test_all_operands_have_the_grid_of_the_widest(count: int) -> None:
    out_c = sum(4 + i for i in range(count))
    module = Joined(lambda x, parts: torch.cat([*parts], 1), count, out_c)
    net, pixels = prepared(module, SHAPE, 2, seed=1)
    graph = export(net, levels(), PROVENANCE, "net")
    (joint,) = (op for op in graph.ops if isinstance(op, Concat))
    values = [graph.value(name) for name in (*joint.inputs, joint.output)]
    assert len({(value.scale, value.zero_point) for value in values}) == 1
    for level in range(len(DENSITIES)):
        parts = (net.observers[name.replace(".", "/")] for name in joint.inputs)
        ranges = [float(part.range[level]) for part in parts]
        assert values[0].scale[level] == pytest.approx(max(ranges) / 127)
        assert max(ranges) > 1.1 * min(ranges)
        differences = dict(stage_differences(net, graph, pixels, level))
        assert differences[joint.name].max() == 0
    assert len(set(values[0].scale)) == len(DENSITIES), "levels keep scales of their own"


@pytest.mark.parametrize(
    ("join", "out_c"),
    [
        (lambda x, p: torch.cat([p[0], p[1].relu()], 1), 9),
        (lambda x, p: torch.cat([p[1], x, p[1], x], 1), 16),
        (lambda x, p: torch.cat([F.max_pool2d(x, 3, 1, 1), p[0]], dim=-3), 7),
        (lambda x, p: torch.cat([p[0], F.silu(p[0])], 2), 4),
        (lambda x, p: torch.cat([F.avg_pool2d(p[0], 1), p[0] + p[0]], 3), 4),
    ],
    ids=["limits", "input", "pooled input", "rows", "columns"],
)
def test_joined_networks_keep_their_quality(
    join: Callable[[Tensor, Sequence[Tensor]], Tensor], out_c: int
) -> None:
    net, pixels = prepared(Joined(join, 2, out_c), SHAPE, 1, seed=1)
    graph = export(net, levels(), PROVENANCE, "net")
    net.set_quantize(False)
    for level in range(len(DENSITIES)):
        wanted = predict(net, pixels, level)
        value = graph.only_output
        steps = reference.run_one(graph, int8(pixels), level).reshape(wanted.shape).astype(float)
        noise = (steps - value.zero_point) * value.scale[level] - wanted
        assert 10 * np.log10(np.square(wanted).sum() / np.square(noise).sum()) > 25


def test_the_input_is_scaled_once_before_it_is_joined() -> None:
    found = traced(lambda x, p: torch.cat([x, p[0], x], 1), 1, 10)
    (copy,) = (stage for stage in found if isinstance(stage, Clamp))
    (joint,) = (stage for stage in found if isinstance(stage, stages.Concat))
    assert joint.inputs == (copy.output, "parts.0", copy.output)
    convolution = next(stage for stage in found if stage.name == "parts.0")
    assert convolution.inputs == (copy.input,), "others still read the input itself"


@pytest.mark.parametrize(("inner", "outer", "left"), [(1, 1, 1), (2, 1, 2)])
def test_a_concatenation_that_only_another_reads_becomes_part_of_it(
    inner: int, outer: int, left: int
) -> None:
    def join(x: Tensor, p: Sequence[Tensor]) -> Tensor:
        pair = torch.cat([p[0], p[0]], inner)
        return torch.cat([pair, pair.tanh() if inner == 2 else p[1]], outer)

    found = traced(join, 2, 8 if inner == 2 else 13)
    assert sum(isinstance(stage, stages.Concat) for stage in found) == left


def test_concatenations_take_no_flash() -> None:
    join = Joined(lambda x, p: torch.cat([p[0], p[1]], 1), 2, 9)
    net, _ = prepared(join, SHAPE, 1, seed=1)
    (stage,) = (s.stage for s in net.steps if isinstance(s.stage, stages.Concat))
    assert stage.table_bytes(net.network, 3) == 0 and Storage(net, "raw").table_bytes > 0


@pytest.mark.parametrize(
    ("join", "out_c", "words"),
    [
        (lambda x, p: torch.stack([p[0], p[0]], 1).amax(1), 4, "torch.cat along an existing"),
    ],
)
def test_what_cannot_be_joined_is_refused(
    join: Callable[[Tensor, Sequence[Tensor]], Tensor], out_c: int, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        traced(join, 2, out_c)


def test_a_constant_is_a_part() -> None:
    class Constant(Joined):
        def forward(self, x: Tensor) -> Tensor:
            part = self.parts[0](x)
            return self.tail(torch.cat([part, self.constant.expand(x.shape[0], 1, 11, 7)], 1))

    module = Constant(lambda x, p: x, 1, 5).eval()
    x = images(SHAPE, 3, seed=1)
    torch.testing.assert_close(trace(module, SHAPE).eval()(x), module(x))


def test_one_tensor_is_itself() -> None:
    found = traced(lambda x, p: torch.cat([p[0]], 1), 1, 4)
    assert not any(isinstance(stage, stages.Concat) for stage in found)
