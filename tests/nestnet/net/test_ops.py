"""One file per operator: nothing is left unsaid, and every stage and every row of reading has a
case in tests/support/nets.py, on which tracing, quantization, export and bytes are tested."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np
import pytest
import torch

from codegen.errors import UserError
from codegen.graph.ops import OPERATORS
from nestnet.frontend.capture import capture
from nestnet.frontend.replay import operator_name
from nestnet.net.fuse import fuse
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.grids import Grids
from nestnet.net.network import NestedNet, to_float_input
from nestnet.net.ops import (
    ACTIVATIONS,
    ATEN,
    STAGES,
    SUPPORTED,
    aten_in,
    dropout,
    stages_in,
    unsaid,
)
from nestnet.net.ops.add import Add
from nestnet.net.ops.clamp import Clamp
from nestnet.net.ops.common.weighted import Weighted
from nestnet.net.ops.conv2d import Conv2D
from nestnet.net.ops.linear import Linear
from nestnet.net.quantize import quantize
from nestnet.net.quantizer import Observer
from nestnet.net.stages import GridRule, Network, OneInput, Run, Stage, Step
from nestnet.net.tensors import OPEN, RELU, Clip, NormParams, Tensor
from nestnet.net.walk import Aten
from tests.support.commands import ROOT
from tests.support.nets import CASES, trained_like

NOT_FROM_TRAINING: set[str] = set()
"""Operators of the integer graph that no stage becomes."""
SAID_BY_ALL = {
    "makes", "grid", "elementwise", "run", "non_negative", "export", "table_bytes",
}  # fmt: skip


def test_every_operator_of_the_graph_comes_from_a_stage() -> None:
    made = {kind for stage in STAGES.values() for kind in stage.makes}
    missing = {name for name, kind in OPERATORS.items() if kind not in made}
    assert missing == NOT_FROM_TRAINING


def test_a_stage_is_in_the_file_of_its_name_or_of_what_it_makes() -> None:
    for name in set(OPERATORS) & set(STAGES):
        assert OPERATORS[name] in STAGES[name].makes
        files = {kind.__module__.rpartition(".")[2] for kind in (OPERATORS[name], STAGES[name])}
        assert len(files) == 1, name
    for name, kind in STAGES.items():
        file = kind.__module__.rpartition(".")[2].replace("_", "")
        assert file in {name.lower(), *(made.__name__.lower() for made in kind.makes)}


def test_no_module_asks_for_the_type_of_a_stage() -> None:
    """What differs between operators is in their files."""
    names = "|".join(STAGES)
    for path in sorted((ROOT / "nestnet").rglob("*.py")):
        if path.parent.name != "ops":
            text = path.read_text(encoding="utf-8")
            found = [line for line in text.splitlines() if "isinstance(stage" in line]
            found += [line for line in text.splitlines() if "isinstance(step.stage" in line]
            assert not found, f"{path}: {found}; ask the stage ({names})"


def test_every_stage_and_every_row_has_a_case() -> None:
    kinds: set[type[Stage]] = set()
    read: set[str] = set()
    for case in CASES:
        traced = capture(trained_like(case), case.shape)
        kinds |= {type(stage) for stage in traced.network.stages}
        calls = [node for node in traced.reading.program.nodes if node.op == "call_function"]
        read |= {operator_name(node).rstrip("_") for node in calls}
    assert kinds == set(STAGES.values())
    assert set(ATEN) - read == set()


@dataclass(frozen=True)
class Silent(OneInput):
    """A stage that says nothing."""


@pytest.mark.parametrize("kind", STAGES.values(), ids=STAGES)
def test_every_operator_says_what_all_have_to(kind: type[Stage]) -> None:
    assert unsaid(kind) == set()
    assert unsaid(Silent) == SAID_BY_ALL


@pytest.mark.parametrize("name", sorted(SAID_BY_ALL))
def test_what_is_left_unsaid_is_an_error(name: str) -> None:
    """As when the package is imported: of a stage that says all but ``name``."""
    members = {key: value for key, value in vars(dropout.Dropout).items() if key in SAID_BY_ALL}
    del members[name]
    module = ModuleType("half")
    module.Half = type("Half", (Silent,), {**members, "__module__": "half"})  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=f"half: Half lacks {name}$"):
        stages_in([module])


def test_a_file_that_reads_nothing_is_an_error() -> None:
    module = ModuleType("deaf")
    with pytest.raises(TypeError, match="deaf lacks ATEN or SPELLED"):
        aten_in([module])
    module.ATEN, module.SPELLED = {"relu": ATEN["relu"]}, "relu"  # type: ignore[attr-defined]
    assert aten_in([module]) == {"relu": ATEN["relu"]}
    other = ModuleType("other")
    other.ATEN, other.SPELLED = module.ATEN, "again"  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="other reads relu, as deaf does"):
        aten_in([module, other])


def test_lists_of_what_is_supported_have_every_file() -> None:
    assert SUPPORTED.split(", ")[0] == "add/sub"
    for word in ("conv2d", "batch_norm", "relu6", "mean over dimensions", "softmax"):
        assert word in SUPPORTED
    assert all(isinstance(row, Aten) for row in ATEN.values())


LIMITING = pytest.mark.parametrize(
    "make",
    [
        lambda act: conv("y", "x", act),
        lambda act: Linear("y", "x", "y", "y.weight", None, act=act),
        lambda act: Add("y", ("x", "x"), "y", act),
        lambda act: Clamp("y", "x", "y", act),
    ],
    ids=["conv2d", "linear", "add", "clamp"],
)
"""Stages with limits of their own, from x to y."""
VECTORS = tuple(Tensor(name, (2,)) for name in ("x", "y", "z", "w"))


@LIMITING
def test_an_activation_becomes_the_limits_of_what_makes_its_input(
    make: Callable[[Clip], Stage],
) -> None:
    clamp = Clamp("z", "y", "z", Clip(0.25, 0.75))
    (stage,) = fuse(Network("x", "z", VECTORS, (make(RELU), clamp))).stages
    assert stage == make(Clip(0.25, 0.75)).making("z")
    read_twice = (make(RELU), clamp, Add("w", ("y", "z"), "w"))
    assert fuse(Network("x", "w", VECTORS, read_twice)).stages == read_twice


@LIMITING
def test_a_batch_norm_becomes_part_only_of_sums_that_nothing_follows(
    make: Callable[[Clip], Stage],
) -> None:
    norm = NormParams("z", None, None, "z.mean", "z.var", 0.0, 0.1)
    alone = Conv2D.unit("z", "y", "z", 2, norm)
    for act in (OPEN, RELU):
        first = make(act)
        stages = fuse(Network("x", "z", VECTORS, (first, alone))).stages
        if isinstance(first, Weighted) and act == OPEN:
            assert stages == (replace(first, norm=norm, output="z"),)
        else:
            assert stages == (first, alone)


@pytest.mark.parametrize("limit", [math.inf, 6.0])
@LIMITING
def test_a_limit_is_one_number_for_all_levels(make: Callable[[Clip], Stage], limit: float) -> None:
    last = Linear("z", "y", "z", "z.weight", None)
    grids = Grids(Network("x", "z", VECTORS, (make(Clip(0.0, limit)), last)))
    assert grids.one_scale("y") == math.isfinite(limit)


def test_what_takes_the_place_of_an_activation_is_named_whole() -> None:
    assert set(ACTIVATIONS) == {name for kind in STAGES.values() for name in kind.activations}
    for name in ("ReLU", "ReLU6", "Hardtanh", "LeakyReLU", "Sigmoid", "GELU"):
        assert f"nn.{name}" in ACTIVATIONS and hasattr(torch.nn, name)


# Tensors that share a grid: what a concatenation asks of its inputs.


@dataclass(frozen=True)
class Joined(Stage):
    """The channels of two maps, one behind the other."""

    inputs: tuple[str, str]
    output: str
    makes = ()
    grid = GridRule.JOINT
    elementwise = False

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        return torch.cat(x, 1)

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        return all(inputs)

    def export(self, step: Step, graph: GraphBuilder) -> None:
        raise NotImplementedError

    def table_bytes(self, network: Network, levels: int) -> int:
        return 0


LIMITED = Clip(0.0, 6.0)


def conv(name: str, source: str, act: Clip = RELU, residual: str | None = None) -> Conv2D:
    """Return a 1x1 convolution."""
    sizes = ((1, 1), (1, 1), (0, 0, 0, 0), 1)
    return Conv2D(name, source, name, f"{name}.weight", None, *sizes, residual, act=act)


def joined(*stages: Stage) -> NestedNet:
    """Return a network of two levels on maps of 3 x 5 x 2 that ends with what follows the channels
    of "a" and "b" together."""
    stages = (*stages, Joined("j", ("a", "b"), "j"), conv("end", "j"))
    channels = {"x": 2, **{stage.output: 2 for stage in stages}, "j": 4}
    tensors = tuple(Tensor(name, (count, 3, 5)) for name, count in channels.items())
    torch.manual_seed(2)
    module = torch.nn.Module()
    for stage in stages:
        if stage.tensors:
            read = channels[stage.inputs[0]]
            module.add_module(stage.name, torch.nn.Conv2d(read, 2, 1, bias=False))
    net = NestedNet(module, Network(("x",), ("end",), tensors, stages))
    net.set_levels(2)
    return net


def with_ranges(net: NestedNet, **ranges: tuple[float, float]) -> NestedNet:
    """Return ``net`` with these ranges of both levels, as if they had been observed."""
    for name, values in ranges.items():
        observer = net.observers[name]
        assert isinstance(observer, Observer)
        observer.range = torch.tensor(values)
    return net


@pytest.mark.parametrize(
    ("second", "zero_point", "ranges"),
    [(RELU, -128, (7.0, 5.0)), (OPEN, 0, (7.0, 5.0)), (LIMITED, -128, (7.0, 7.0))],
)
def test_what_is_joined_has_one_grid(
    second: Clip, zero_point: int, ranges: tuple[float, float]
) -> None:
    """The largest range of each level, of all levels where one of the limits is one number."""
    net = joined(conv("a", "x"), conv("b", "a", second), conv("c", "b"))
    with_ranges(net, a=(3.0, 5.0), b=(7.0, 2.0), c=(1.0, 11.0))
    steps = 255.0 if zero_point else 127.0
    for name in ("a", "b", "j"):
        grid = net.grid(name)
        assert grid.scale == pytest.approx([span / steps for span in ranges])
        assert grid.zero_point == zero_point
    assert net.grid("c").scale == pytest.approx([1 / 255, 11 / 255])
    assert net.grids.observed("j") == ("a", "b")


def test_a_range_that_is_not_known_yet_does_not_count() -> None:
    net = with_ranges(joined(conv("a", "x"), conv("b", "x")), a=(0.5, 0.25), b=(0.0, 0.0))
    assert net.grid("b").scale == pytest.approx([0.5 / 255, 0.25 / 255])


def test_a_residual_bounds_the_step_of_all_that_is_joined() -> None:
    """Its own grid does not bound itself, neither directly nor through another."""
    first = joined(conv("a", "x"), conv("b", "x", residual="a"))
    with_ranges(first, a=(3.0, 3.0), b=(1.0, 1.0))
    assert first.grid("b").scale == pytest.approx([3 / 255] * 2)
    second = joined(conv("c", "x"), conv("a", "x"), conv("b", "x", residual="c"))
    with_ranges(second, a=(3.0, 3.0), b=(1.0, 1.0), c=(630.0, 2.0))
    assert second.grid("a").scale == pytest.approx([10 / 255, 3 / 255])


def test_joined_values_lie_on_the_grid_of_both() -> None:
    net = joined(conv("a", "x"), conv("b", "x", OPEN))
    images = np.random.default_rng(3).integers(0, 256, (7, 3, 5, 2), dtype=np.uint8)
    quantize(net, images)
    x = net.pixels.to_input(to_float_input(images, net.pixels))
    values = {"x": x}
    with torch.no_grad():
        for step in net.eval().steps:
            values[step.stage.output] = net.run_step(step, values, 1)
    in_steps = values["j"] / net.grid("j").scale[1]
    assert torch.equal(values["j"], torch.cat((values["a"], values["b"]), 1))
    torch.testing.assert_close(in_steps, in_steps.round(), rtol=0, atol=1e-4)
    assert in_steps.min() < 0 and net.grid("a").zero_point == 0


def test_the_networks_input_cannot_be_joined() -> None:
    net = Network("x", "j", (Tensor("x", (2, 3, 5)), Tensor("j", (4, 3, 5))),
                  (Joined("j", ("x", "x"), "j"),))  # fmt: skip
    with pytest.raises(UserError, match=r"layer 'j': the network's input itself.*Put a conv"):
        Grids(net)
