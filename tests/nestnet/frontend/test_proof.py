"""A nested network is compared with the user's module when it is made."""

from __future__ import annotations

import copy
import random
import warnings
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codegen.errors import UserError
from nestnet import models
from nestnet.frontend.capture import capture
from nestnet.frontend.tracing import trace
from nestnet.net.nested import LevelNorm
from nestnet.net.ops import conv2d
from nestnet.net.ops.common import weighted
from nestnet.net.ops.conv2d import NestedConv
from nestnet.net.ops.dropout import Dropout
from nestnet.net.ops.linear import NestedLinear
from nestnet.net.ops.softmax import Softmax
from nestnet.net.tensors import Shape, flat_order
from nestnet.net.tensors import Tensor as Activation
from nestnet.net.walk import Walk
from nestnet.notices import Notice
from tests.support.nets import CASES, SHAPES, Case, head, images, leave_behind, trained_like

MAP = (9, 7, 3)


def own_outputs(module: nn.Module, x: Tensor) -> Tensor:
    """Return what ``module`` computes in evaluation mode."""
    with torch.no_grad():
        return copy.deepcopy(module).eval()(x)  # type: ignore[no-any-return]


def assert_same(module: nn.Module, shape: Shape) -> None:
    x = images(shape, 11, seed=3)
    x = x.squeeze(2) if shape[0] == 1 else x
    with torch.no_grad():
        got = trace(module, shape).eval()(x)
    torch.testing.assert_close(got, own_outputs(module, x), rtol=1e-4, atol=1e-5)


def flat_head(hidden: int, *middle: nn.Module) -> nn.Module:
    """Return a network that flattens a map of 5 x 7 x 5 into a layer of ``hidden`` outputs."""
    torch.manual_seed(7)
    layers = [nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(175, hidden)]
    return nn.Sequential(*layers, *middle, nn.ReLU(), nn.Linear(hidden, 4))


@pytest.mark.parametrize("hidden", [173, 175])
def test_square_linear_layer_behind_a_flattened_map(hidden: int) -> None:
    assert_same(flat_head(hidden), MAP)


def test_square_linear_layer_with_batch_norm() -> None:
    module = flat_head(175, nn.BatchNorm1d(175))
    norm = module[4]
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.2, 2)
    assert_same(module, MAP)


def test_square_linear_layer_as_the_last() -> None:
    torch.manual_seed(7)
    assert_same(nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(175, 175)), MAP)


def test_elementwise_stages_keep_a_flattened_map() -> None:
    """What follows a flattened map element by element has its order, the linear layer another."""
    torch.manual_seed(7)
    norm = nn.BatchNorm1d(175)
    norm.running_mean, norm.running_var = torch.rand(175), torch.rand(175) + 0.5
    between = (nn.ReLU(), nn.Dropout(0.5), norm)
    module = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), *between, nn.Linear(175, 173))
    tensors = capture(module, MAP).network.tensors
    assert [tensor.flat_from for tensor in tensors] == [None, None, *[(7, 5, 5)] * 4, None]
    assert_same(module, MAP)


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_shipped_models_are_proven(name: str) -> None:
    shape, classes = SHAPES[name], 7
    torch.manual_seed(1)
    assert_same(models.build(name, shape, classes), shape)


class Sabotaged(NestedConv):
    """A convolution whose result is off by a millionth."""

    def forward(self, x: Tensor, level: int, with_bias: bool = True) -> Tensor:
        return super().forward(x, level, with_bias) * (1 + 1e-6)


def test_the_first_layer_that_differs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 7, 3), *head(7))
    monkeypatch.setattr(conv2d, "NestedConv", Sabotaged)
    with pytest.raises(UserError, match=r"layer '0' .*computes something else here"):
        trace(module, MAP)


@pytest.mark.parametrize("norms", [True, False])
def test_a_branch_that_starts_at_zero_is_compared_too(
    norms: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gain or weights of 0 hide everything else of their layer."""

    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            self.norm = nn.BatchNorm2d(3) if norms else nn.Identity()
            nn.init.zeros_(self.norm.weight if norms else self.conv.weight)  # type: ignore[arg-type]
            self.head = nn.Sequential(*head(3))

        def forward(self, x: Tensor) -> Tensor:
            return self.head(F.relu(x + self.norm(self.conv(x))))  # type: ignore[no-any-return]

    module = Branch()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert_same(module, MAP)
    monkeypatch.setattr(conv2d, "NestedConv", Sabotaged)
    with pytest.raises(UserError, match=r"layer 'conv' .*computes something else here"):
        trace(module, MAP)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_the_order_of_weights_that_are_all_zero_is_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = flat_head(173)
    nn.init.zeros_(module[3].weight)  # type: ignore[index, arg-type]
    monkeypatch.setattr(
        weighted, "flat_order", lambda shape: torch.arange(shape[0] * shape[1] * shape[2])
    )
    with pytest.raises(UserError, match=r"layer '3' .*computes something else"):
        trace(module, MAP)


@pytest.mark.parametrize("kernel", [(3, 3), (5, 3), (1, 3)])
def test_narrow_maps_in_another_memory_format(kernel: tuple[int, int]) -> None:
    """PyTorch's own float32 convolutions leave outputs unwritten there: module and graph differ."""
    torch.manual_seed(3)
    padding = (kernel[0] // 2, kernel[1] // 2)
    module = nn.Sequential(
        nn.Conv2d(1, 5, kernel, stride=(1, 2), padding=padding), nn.BatchNorm2d(5), *head(5)
    ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for size in (101, 47, 31):
        leave_behind(1e30, 3 * size, 3 * 5 * size, 5 * kernel[0] * kernel[1])
        with warnings.catch_warnings():
            warnings.simplefilter("error", Notice)
            assert trace(module, (size, 1, 1)).classes == 5


def test_a_permuted_flattened_map_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of a linear layer's columns, wrong as if the map were stored c, w, h."""

    def transposed(shape: Shape) -> Tensor:
        h, w, c = shape
        return torch.arange(c * h * w).reshape(c, h, w).permute(2, 1, 0).reshape(-1)

    monkeypatch.setattr(weighted, "flat_order", transposed)
    with pytest.raises(UserError, match=r"layer '3' .*module '3'.*computes something else"):
        trace(flat_head(173), MAP)


def test_a_wrong_claim_about_the_order_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the output of a square linear layer for a flattened map."""
    emit = Walk.emit

    def claim(self: Walk, node: Any, source: Activation, *rest: Any, **more: Any) -> None:
        same = tuple(node.meta["val"].shape[1:]) == source.torch_shape
        emit(self, node, source, *rest, **{"flat_from": source.flat_from if same else None, **more})

    monkeypatch.setattr(Walk, "emit", claim)
    with pytest.raises(UserError, match=r"layer '3' .*computes something else"):
        trace(flat_head(175), MAP)


@pytest.mark.parametrize("what", ["bias", "norm"])
def test_lost_parts_are_noticed_where_they_are_small(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A difference counts by the layer's own size, not by what reaches the outputs."""
    torch.manual_seed(5)
    quiet = nn.Linear(7, 4)
    nn.init.constant_(quiet.weight, 1e-12)
    module = nn.Sequential(
        nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7), nn.AdaptiveAvgPool2d(1), nn.Flatten(), quiet
    )
    nn.init.normal_(module[1].bias)  # type: ignore[arg-type]
    if what == "bias":
        monkeypatch.setattr(NestedConv, "forward", lambda self, x, level: F.conv2d(x, self.weight))
    else:
        monkeypatch.setattr(LevelNorm, "forward", lambda self, x, level: x)
    with pytest.raises(UserError, match=r"layer '0' "):
        trace(module, MAP)


@pytest.mark.parametrize("factor", [1e-30, 1e-9, 1.0, 1e9, 1e15])
def test_size_of_the_outputs_does_not_matter(factor: float) -> None:
    case = next(case for case in CASES if case.name == "plain")
    module = trained_like(case)
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.weight.data.mul_(factor)
    assert trace(module, case.shape).classes == 5


def test_zero_outputs_pass() -> None:
    module = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), *head(5))
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    assert trace(module, MAP).classes == 5


class Lively(nn.Module):
    """A module with state that a forward in training mode changes, and random numbers in it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Dropout(0.5), *head(5))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("training", [True, False])
def test_proof_leaves_everything_as_it_was(training: bool) -> None:
    module = Lively().train(training)
    module.body[1].eval()
    modes = [part.training for part in module.modules()]
    state = copy.deepcopy(module.state_dict())
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # type: ignore[union-attr]
    trace(module, MAP)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.array_equal(np.random.get_state()[1], before[2])  # type: ignore[arg-type]
    assert [part.training for part in module.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


class DropPath(nn.Module):
    """A residual block that stochastic depth may skip in training."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(5, 5, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.training:
            y = y * x.new_empty(x.shape[0], 1, 1, 1).bernoulli_(0.9).div_(0.9)
        return x + y


class Auxiliary(nn.Module):
    """A second output in training; dropout in both of its forms."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.drop = nn.Dropout(0.3)
        self.main, self.side = nn.Linear(5, 4), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        y = F.dropout(self.drop(self.conv(x).mean((2, 3))), 0.2, self.training)
        y = F.dropout(y, 0.9, training=False)
        return (self.main(y), self.side(y)) if self.training else self.main(y)


class LateSoftmax(nn.Module):
    """Logits in training, probabilities in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 5, 3), *head(5))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return y if self.training else F.softmax(y, 1)


def test_stochastic_depth_is_left_out_and_said() -> None:
    torch.manual_seed(2)
    module = nn.Sequential(nn.Conv2d(3, 5, 3), DropPath(), *head(5))
    with pytest.warns(Notice, match=r"evaluation mode; .*left out.*1 x bernoulli_"):
        assert_same(module, MAP)


def test_auxiliary_output_is_left_out_and_dropout_kept() -> None:
    torch.manual_seed(2)
    module = Auxiliary()
    with pytest.warns(Notice, match="its outputs differ"):
        stages = capture(module, MAP).network.stages
    assert [s.p for s in stages if isinstance(s, Dropout)] == [0.3, 0.2]
    with pytest.warns(Notice):
        assert_same(module, MAP)


def test_softmax_of_evaluation_mode_is_kept() -> None:
    with pytest.warns(Notice, match="its outputs differ"):
        last = capture(LateSoftmax(), MAP).network.stages[-1]
    assert isinstance(last, Softmax)


def test_one_tensor_in_a_container_is_an_output() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 5, 3), *head(5))

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"logits": self.body(x)}

    assert trace(Named(), MAP).classes == 5


class Changing(nn.Module):
    """Returns something else at every call."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 5, 3), *head(5))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return y if torch.compiler.is_exporting() else y + torch.rand(())


def test_random_outputs_are_refused() -> None:
    with pytest.raises(UserError, match="graph does not compute what it computes"):
        trace(Changing(), MAP)


class EvaluationFails(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 5, 3), *head(5))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            raise RuntimeError("not yet written")
        return self.body(x)  # type: ignore[no-any-return]


def test_failing_evaluation_is_one_message() -> None:
    with pytest.raises(UserError, match="fails in evaluation mode; got RuntimeError: not yet"):
        trace(EvaluationFails(), MAP)


@pytest.mark.parametrize(
    "function", [F.dropout, lambda x: F.batch_norm(x, None, None, training=True)]
)
def test_training_behaviour_that_stays_on_is_refused(function: object) -> None:
    class Always(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 5, 3), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(function(self.conv(x)).mean((2, 3)))  # type: ignore[operator, no-any-return]

    with pytest.raises(UserError, match=r"stays on in evaluation|without running statistics"):
        trace(Always(), MAP)


def test_linear_layers_are_compared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NestedLinear, "forward", lambda self, x, level: F.linear(x, self.weight))
    with pytest.raises(UserError, match=r"layer '3' "):
        trace(nn.Sequential(nn.Conv2d(3, 5, 3), *head(5)), MAP)


def test_every_case_can_be_told_from_its_permutation() -> None:
    """The images of the comparison tell channels, rows and columns apart."""
    from nestnet.frontend.capture import random_images

    (x,) = random_images([(3, 5, 7)])
    flat = x.flatten(1)
    assert len(flat.unique()) == flat.numel()
    assert not torch.equal(flat[:, flat_order((5, 7, 3))], flat)


@pytest.mark.parametrize("case", CASES[:2], ids=lambda case: case.name)
def test_half_precision_modules_are_compared_in_their_float_form(case: Case) -> None:
    assert trace(trained_like(case).half(), case.shape).classes == 5
