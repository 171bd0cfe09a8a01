"""What is around a module, or computes its weights, is taken off before it is nested."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

import nestnet
from codegen.errors import UserError
from nestnet.notices import Notice
from tests.support.nets import conv_bn, head, images

SHAPE = (7, 5, 3)


def own() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(conv_bn(3, 5), nn.Conv2d(5, 7, 1), nn.ReLU(), *head(7))


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def compiled_in_place(module: nn.Module) -> nn.Module:
    module.compile()
    return module


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        nn.parallel.DistributedDataParallel,
        torch.compile,
        compiled_in_place,
        torch.optim.swa_utils.AveragedModel,
        lambda module: torch.compile(nn.DataParallel(module)),
    ],
)
def test_wrappers_are_taken_off(wrap: Callable[[nn.Module], nn.Module]) -> None:
    module = own()
    net = nestnet.nest(wrap(copy.deepcopy(module)), SHAPE, sparsity=(0.0,)).eval()
    names = {name for name, _ in nestnet.nest(module, SHAPE, sparsity=(0.0,)).named_parameters()}
    assert {name for name, _ in net.named_parameters()} == names
    x = images(SHAPE, 11, seed=1)
    torch.testing.assert_close(net(x), module.eval()(x))


def test_a_wrapped_module_is_recorded_by_its_own_name(tmp_path: Path) -> None:
    module = nn.DataParallel(nn.Sequential(nn.Conv2d(1, 7, 3), nn.Flatten(), nn.Linear(252, 10)))
    run = nestnet.train(
        module=module, dataset="digits", sparsity=(0.0,), epochs=1, split=(0, 0, 0, 1),
        out=tmp_path, quiet=True,
    )  # fmt: skip
    assert 'model = "module:Sequential"' in (run / "config.toml").read_text()
    assert len(nestnet.evaluate(run, module=module.module)) == 1


def pruned(part: nn.Module) -> None:
    prune.l1_unstructured(part, "weight", 0.4)  # type: ignore[no-untyped-call]
    prune.random_unstructured(part, "weight", 0.2)  # type: ignore[no-untyped-call]


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


COMPUTED: dict[str, Callable[[nn.Module], object]] = {
    "WeightNorm": weight_norm,
    "SpectralNorm": spectral_norm,
    "_WeightNorm": parametrizations.weight_norm,
    "_SpectralNorm": parametrizations.spectral_norm,
    "pruning mask": pruned,
    "Doubled": lambda part: torch.nn.utils.parametrize.register_parametrization(
        part, "weight", Doubled()
    ),
}


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("how", COMPUTED)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_computed_weights_are_taken_as_they_are(how: str, frozen: bool, used: bool) -> None:
    """Before and after a first batch, which makes results of a computation of them."""
    module = own()
    COMPUTED[how](module[1])
    module[1].requires_grad_(not frozen)
    if used:
        module(images(SHAPE, 7, seed=2))
    before = copy.deepcopy({key: value.clone() for key, value in module.state_dict().items()})
    with pytest.warns(Notice, match=rf"'1.weight' \({how.lstrip('_')}\)"):
        net = nestnet.nest(module, SHAPE, sparsity=(0.0,)).eval()
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert dict(net.named_parameters())["body.1.weight"].requires_grad != frozen
    x = images(SHAPE, 11, seed=1)
    torch.testing.assert_close(net(x), module.eval()(x), rtol=1e-5, atol=1e-6)


def test_a_module_that_keeps_activations_can_be_nested() -> None:
    class Keeping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = own()
            self.kept: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            self.kept = self.body[0](x)
            return self.body(x)  # type: ignore[no-any-return]

    module = Keeping()
    module(images(SHAPE, 7, seed=2))
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        assert nestnet.nest(module, SHAPE, sparsity=(0.5,)).n_levels == 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: torch.jit.script(own()), "that torch.jit.script or torch.jit.trace was given"),
        (lambda: torch.jit.trace(own(), images(SHAPE, 7, seed=2)), r"torch.jit.trace was given"),
        (lambda: nn.Sequential(torch.jit.script(own())), r"module '0': a scripted"),
        (
            lambda: nn.Sequential(nn.LazyConv2d(5, 3), *head(5)),
            r"module '0': a lazy.*Run one batch through the model first",
        ),
        (lambda: nn.Sequential(nn.Conv2d(3, 5, 3), nn.LazyBatchNorm2d(), *head(5)), "module '1'"),
    ],
)
def test_what_cannot_be_read_is_answered(make: Callable[[], nn.Module], words: str) -> None:
    with pytest.raises(UserError, match=words):
        nestnet.nest(make(), SHAPE, sparsity=(0.0,))
