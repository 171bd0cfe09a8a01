"""Tracing: fused stages compute what the module computes; what cannot be expressed is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codegen.errors import UserError
from nestnet.frontend.capture import capture
from nestnet.frontend.problems import _INSTEAD
from nestnet.frontend.tracing import trace
from nestnet.net.ops import ATEN
from nestnet.net.ops.add import Add
from nestnet.net.ops.clamp import Clamp
from nestnet.net.ops.conv2d import Conv2D
from nestnet.net.ops.dropout import Dropout
from nestnet.net.ops.softmax import InnerSoftmax
from nestnet.net.stages import Stage
from nestnet.net.tensors import RELU, Clip
from tests.support import wrapped
from tests.support.nets import CASES, Case, head, images, macs, trained_like
from tests.support.wrapped import Call, Wrapper


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fused_network_equals_module(case: Case) -> None:
    module = trained_like(case)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    net = trace(module, case.shape).eval()
    assert module.training
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    x = case.images(7, seed=1)
    wanted = module.eval()(x.clone())
    got = net(x)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


DETERMINISTIC = [case for case in CASES if case.name != "vector norm"]
"""Cases whose dropout, if any, is a module whose probability a test can set to 0."""


@pytest.mark.parametrize("case", DETERMINISTIC, ids=lambda case: case.name)
def test_training_mode_equals_module(case: Case) -> None:
    """In training mode both use batch statistics and update the running ones alike."""
    module = trained_like(case)
    for part in module.modules():
        if isinstance(part, nn.Dropout | nn.Dropout1d | nn.Dropout2d):
            part.p = 0.0
    net = trace(module, case.shape).train()
    x = case.images(7, seed=2)
    wanted = module(x.clone())
    got = net(x)
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4)
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    mine = [step.norm for step in net.steps if step.norm is not None and not step.norm.fixed]
    assert len(mine) == len(norms)
    for theirs, own in zip(norms, mine, strict=True):
        torch.testing.assert_close(own.running_mean[0], theirs.running_mean)
        torch.testing.assert_close(own.running_var[0], theirs.running_var)


def stages_of(name: str) -> tuple[Stage, ...]:
    """Return the traced stages of one case."""
    case = next(case for case in CASES if case.name == name)
    return capture(trained_like(case), case.shape).network.stages


def test_residual_becomes_one_stage() -> None:
    convs = [stage for stage in stages_of("residual in place") if isinstance(stage, Conv2D)]
    assert [conv.name for conv in convs] == ["stem.0", "conv"]
    assert convs[1].norm is not None and convs[1].norm.name == "norm"
    assert convs[1].residual == convs[0].output
    assert convs[1].act == RELU
    assert not any(isinstance(s, Add | Clamp) for s in stages_of("residual in place"))


def test_addition_fuses_into_the_larger_convolution() -> None:
    stages = stages_of("two branches")
    convs = {stage.name: stage for stage in stages if isinstance(stage, Conv2D)}
    assert convs["a"].residual == convs["b"].output
    assert convs["b"].residual is None
    assert [stage.name for stage in stages][:2] == ["b", "a"]


def test_shared_values_are_not_fused() -> None:
    kinds = [type(stage) for stage in stages_of("two branches")]
    assert Clamp in kinds and Add in kinds


def test_lone_batch_norm_becomes_a_unit_convolution() -> None:
    first = stages_of("pre-activation")[0]
    assert isinstance(first, Conv2D)
    assert first.weight is None and first.groups == 3 and first.act == RELU


def test_activations_compose() -> None:
    conv = stages_of("two activations")[0]
    assert isinstance(conv, Conv2D) and conv.act == Clip(0.0, 0.7)


@pytest.mark.parametrize("first", [(0.0, math.inf), (-1.0, 0.5), (2.0, 3.0)])
@pytest.mark.parametrize("second", [(0.0, 6.0), (-2.0, -1.0), (0.25, math.inf)])
def test_clip_then_is_composition(first: tuple[float, float], second: tuple[float, float]) -> None:
    both = Clip(*first).then(Clip(*second))
    for x in (-5.0, -1.5, -0.3, 0.0, 0.3, 0.7, 2.5, 9.0):
        once = min(max(x, first[0]), first[1])
        assert min(max(x, both.lo), both.hi) == min(max(once, second[0]), second[1])


def test_activation_moves_before_a_max_pool() -> None:
    stages = stages_of("activation of a pool")
    conv = next(stage for stage in stages if isinstance(stage, Conv2D))
    assert conv.act == RELU
    assert sum(isinstance(stage, Clamp) for stage in stages) == 1


def test_macs() -> None:
    assert macs(nn.Sequential(nn.Conv2d(3, 7, 3), *head(7)), (7, 5, 3)) == 5 * 3 * 7 * 27 + 7 * 5


@pytest.mark.parametrize(
    ("middle", "operator", "words"),
    [
        (nn.Softsign(), "div", "division by an activation"),
        (nn.LogSigmoid(), "log_sigmoid", "not supported"),
        (Call(lambda x: torch.cat([x, x], 0)[: x.shape[0]]), "cat", "dim 1 or more"),
        (Call(lambda x: x @ torch.ones(3, 3)), "matmul", "nn.Linear"),
        (Call(lambda x: x @ x[:, :1].transpose(2, 3)), "matmul", "Expand the smaller one"),
        (Call(lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True)),
         "scaled_dot_product_attention", "attention with is_causal"),
        (Call(lambda x: F.scaled_dot_product_attention(x, x, x, torch.ones(5, 5) > 0)),
         "scaled_dot_product_attention", "truth values"),
        (Call(lambda x: x.permute(1, 0, 2, 3).relu().permute(1, 0, 2, 3)), "relu",
         "the images are not the first dimension"),
        (nn.Conv2d(5, 5, 2, padding=3, dilation=2), "conv2d", "at most (2, 2)"),
        (nn.MaxPool2d(2, dilation=2), "max_pool2d", "dilation 1"),
        (nn.AvgPool2d(2, divisor_override=3), "avg_pool2d", "divisor"),
        (nn.BatchNorm2d(5, track_running_stats=False), "batch_norm", "running statistics"),
        (Call(lambda x: F.max_pool2d(x, (1, 3)) * F.max_pool2d(x, (5, 1))), "mul", "both operands"),
        (Call(lambda x: torch.div(x, 2, rounding_mode="floor")), "div", "rounding_mode=None"),
        (Call(lambda x: torch.sign(x)), "sign", "not supported"),
        (Call(lambda x: x + x.mean((1, 2), keepdim=True)), "mean", "width and channels"),
        (Call(lambda x: x + x.sum(0, keepdim=True)), "sum", "one result for each image"),
        (Call(lambda x: x.cumsum(1)), "cumsum", "not supported"),
        (Call(lambda x: x[1:]), "slice", "images of a batch are picked"),
        (Call(lambda x: F.interpolate(x, (7, 11))), "upsample_nearest2d", "a multiple of"),
        (Call(lambda x: F.log_softmax(x, 2)), "log_softmax", "log_softmax inside"),
        (Call(lambda x: x.repeat(1, 1, 1, 200).softmax(3)), "softmax", "at most 512"),
        (Call(lambda x: x.half()), "to", "float32"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)  # fmt: skip
def test_unsupported_is_located(middle: nn.Module, operator: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        capture(Wrapper(middle), (7, 5, 3))
    text = str(caught.value)
    assert f"operator {operator}." in text or f"1 x {operator}." in text
    assert "module 'middle'" in text
    assert f"{wrapped.__file__}:" in text
    assert words in text


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(channels, 2), nn.Linear(2, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(F.logsigmoid(self.down(x.mean((2, 3)))))
        return x * torch.sigmoid(torch.sign(y))[:, :, None, None]


def test_everything_unsupported_is_listed_at_once() -> None:
    body = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.LogSigmoid(), Gate(5), Call(torch.sign), nn.LogSigmoid()
    )
    with pytest.raises(UserError, match="5 operators cannot be expressed") as caught:
        capture(nn.Sequential(body, *head(5)), (7, 5, 3))
    text = str(caught.value)
    assert "3 x log_sigmoid.default: operator is not supported. Use nn.ReLU" in text
    assert "2 x sign.default" in text
    assert "the rest of the model is supported" not in text  # unknown behind what is lost
    assert "container.py" not in text and "activation.py" not in text  # PyTorch's lines
    assert re.search(r"At modules '0.1', '0.4'; \S+test_trace.py:\d+, module '0.2'", text)


def test_only_the_first_places_of_a_problem_are_listed() -> None:
    layers = [layer for _ in range(6) for layer in (nn.Conv2d(3, 3, 1), nn.LogSigmoid())]
    with pytest.raises(UserError, match=r"modules '1', '3', '5', '7' and 2 more\n"):
        capture(nn.Sequential(*layers, *head(3)), (7, 5, 3))


def test_parts_of_what_is_lost_are_lost() -> None:
    middle = Call(lambda x: F.logsigmoid(x) + x.cumsum(1).unbind(1)[2][:, None])
    with pytest.raises(UserError, match="2 operators cannot be expressed") as caught:
        capture(Wrapper(middle), (7, 5, 3))
    assert "log_sigmoid" in str(caught.value) and "1 x cumsum" in str(caught.value)


def test_nothing_that_is_read_has_something_instead() -> None:
    assert not set(_INSTEAD) & set(ATEN)


class Recurrent(nn.Module):
    """A recurrent layer along the width."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.rnn = kind(5, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.rnn(x.mean(2).transpose(1, 2))[0][:, -1, :, None, None])


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
def test_recurrent_layers_are_refused_with_what_there_is_instead(kind: type[nn.RNNBase]) -> None:
    name = {"RNN": "rnn_tanh"}.get(kind.__name__, kind.__name__.lower())
    words = rf"operator {name}\.input: operator is not supported.*Use nn.Conv1d along time"
    with pytest.raises(UserError, match=words):
        capture(Wrapper(Recurrent(kind)), (7, 5, 3))


def test_constant_batch_size_is_located() -> None:
    flatten = Call(lambda x: x.view(len(x), -1).relu())
    module = nn.Sequential(nn.Conv2d(3, 5, 3), flatten, nn.Linear(75, 3))
    with pytest.raises(UserError, match="the batch size is taken as a constant") as caught:
        capture(module, (7, 5, 3))
    assert f"{wrapped.__file__}:" in caught.value.where and "'1'" in caught.value.where
    assert "x.size(0)" in caught.value.action


def test_reshape_to_one_batch_size_is_located() -> None:
    with pytest.raises(UserError, match="mixes the images of a batch") as caught:
        capture(Call(lambda x: x.reshape(5, -1)), (7, 5, 3))
    assert f"{wrapped.__file__}:" in caught.value.where


def test_a_flattened_map_is_added_to_a_vector_in_the_order_of_the_vector() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 5, 3), nn.Linear(75, 75)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x).flatten(1)
            return self.fc(y) + y

    kinds = [type(stage).__name__ for stage in trace(Sum(), (7, 5, 3)).network.stages]
    assert kinds == ["Conv2D", "Reshape", "Linear", "Rearrange", "Add"]


def test_computed_weight_is_refused() -> None:
    class Standardized(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, self.weight - self.weight.mean(), self.bias)

    with pytest.raises(UserError, match="weight is computed"):
        capture(Wrapper(Standardized(5, 5, 1)), (7, 5, 3))


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Conv2d(1, 5, 3), *head(5)),
        Call(lambda x: x if x.sum() > 0 else -x),
        nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(7, 3)),
    ],
    ids=["channels", "control flow", "features"],
)
def test_uncapturable_module_is_one_line(module: nn.Module) -> None:
    with pytest.raises(UserError, match=r"torch.export cannot capture") as caught:
        capture(module, (7, 5, 3))
    assert "\n" not in str(caught.value)


def fails_by_itself(x: Tensor) -> Tensor:
    return cast(Tensor, x.relu6())  # type: ignore[attr-defined]  # what a user wrote


def test_an_error_of_the_users_own_is_shown_with_its_line() -> None:
    line = fails_by_itself.__code__.co_firstlineno + 1
    words = rf"test_trace\.py:{line}: the forward of .* fails by itself.*AttributeError.*relu6"
    with pytest.raises(UserError, match=words) as caught:
        capture(nn.Sequential(nn.Conv2d(3, 5, 3), Call(fails_by_itself)), (7, 5, 3))
    assert "control flow" not in str(caught.value) and "\n" not in str(caught.value)


def test_reshape_of_the_batch_is_refused() -> None:
    halves = nn.Sequential(nn.Conv2d(3, 4, 3), Call(lambda x: x.view(-1, 30)), nn.Linear(30, 3))
    with pytest.raises(UserError, match=r"module '2', operator linear.*more than the images in"):
        capture(halves, (7, 5, 3))


def test_failed_capture_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError):
        capture(Call(lambda x: x if x.sum() > 0 else -x), (7, 5, 3))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "function",
    [
        lambda x: sum([F.relu(x), x.float()]),
        lambda x: F.relu(x) + F.dropout(x, 0.5, training=False),
    ],
    ids=["sum() starts from 0", "dropout switched off"],
)
def test_operators_that_change_nothing_leave_no_stage(
    function: Callable[[Tensor], Tensor],
) -> None:
    module = Wrapper(Call(function))
    net = trace(module, (7, 5, 3)).train()
    kinds = {type(stage) for stage in net.network.stages}
    assert not kinds & {Dropout} and len(net.network.stages) == 6
    x = images((7, 5, 3), 3, seed=4)
    torch.testing.assert_close(net(x), module(x))


def test_cumulative_batch_norm_is_traced() -> None:
    module = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5, momentum=None), *head(5))
    net = trace(module, (7, 5, 3)).eval()
    assert module[1].momentum is None
    x = images((7, 5, 3), 3, seed=5)
    torch.testing.assert_close(net(x), module.eval()(x))


def test_outputs_that_nothing_computes_are_refused() -> None:
    with pytest.raises(UserError, match=r"output 0 .*nothing computes it.*got an input as it is"):
        capture(Call(lambda x: (x, x)), (7, 5, 3))
    with pytest.raises(UserError, match="returns no tensor; got none"):
        capture(Call(lambda x: None), (7, 5, 3))
    both = Call(lambda x: {"once": x, "twice": x})
    with pytest.raises(UserError, match=r"output twice .*it is another output.*output 0"):
        capture(nn.Sequential(nn.Conv2d(3, 5, 3), both), (7, 5, 3))


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_softmax_inside_is_one_of_its_own_range(dim: int) -> None:
    stages = capture(Wrapper(nn.Softmax(dim)), (7, 5, 3)).network.stages
    (found,) = (stage for stage in stages if isinstance(stage, InnerSoftmax))
    assert not found.only_last and found.reads_one_scale


def test_a_flattened_output_is_in_the_order_of_the_module() -> None:
    module = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten())
    net = trace(module, (7, 5, 3))
    x = images((7, 5, 3), 3, 1)
    torch.testing.assert_close(net(x), module(x))
    assert net.network.tensor(net.network.outputs[0]).flat_from is None


class Slope(nn.Module):
    """A number read from a parameter."""

    def __init__(self, read: Callable[[Tensor], float]) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(0.2))
        self.read = read

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.read(self.slope))


@pytest.mark.parametrize(
    ("middle", "operator", "instead"),
    [
        (Call(lambda x: torch.maximum(x, 0.1 * x)), "maximum", "nn.LeakyReLU"),
        (Call(lambda x: torch.where(x > 0, x, x * 0.1)), "where", "nn.LeakyReLU"),
        (Call(lambda x: torch.where(x > 0, x, x.exp())), "gt", "[^U]*nn.LeakyReLU, nn.ELU"),
        (Call(lambda x: x.sign()), "sign", "[^U]*nn.LeakyReLU, nn.ELU"),
    ],
)
def test_an_activation_written_out_is_named(middle: nn.Module, operator: str, instead: str) -> None:
    with pytest.raises(UserError, match=rf"{operator}\.\w+: .*Use {instead}"):
        capture(Wrapper(middle), (7, 5, 3))


class Scale(nn.Module):
    """What is not supported, times a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(5, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.logsigmoid(x) * self.scale


def test_a_product_with_a_parameter_is_no_activation() -> None:
    with pytest.raises(UserError, match="log_sigmoid"):
        capture(Wrapper(Scale()), (7, 5, 3))


@pytest.mark.parametrize("read", [float, Tensor.item], ids=["float", "item"])
def test_a_number_read_from_a_parameter_is_refused(read: Callable[[Tensor], float]) -> None:
    with pytest.raises(UserError, match="Numbers read from parameters: write them as Python"):
        capture(Wrapper(Slope(read)), (7, 5, 3))


def test_unused_branch_is_ignored() -> None:
    def function(x: Tensor) -> Tensor:
        F.logsigmoid(x)
        return x

    assert capture(Wrapper(Call(function)), (7, 5, 3)).network.stages
