"""Training leaves the parameters alone that the user froze."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import nestnet
from codegen.errors import UserError
from nestnet import runs
from nestnet.config import TrainConfig
from nestnet.notices import Notice
from nestnet.training.checkpoint import load_checkpoint

SHORT = TrainConfig(epochs=4, split=(0.25, 0.25, 0.25, 0.25), sparsity=(0.8, 0.5))


def model(*, frozen: bool) -> nn.Module:
    torch.manual_seed(4)
    net = nn.Sequential(
        nn.Conv2d(1, 7, 3, padding=1), nn.BatchNorm2d(7), nn.ReLU(),
        nn.Conv2d(7, 11, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(99, 10),
    )  # fmt: skip
    for part in net[:5] if not frozen else net:
        for parameter in part.parameters():
            parameter.requires_grad_(False)
    return net


@pytest.mark.parametrize("flash_bytes", [0, 3_000])
def test_a_frozen_backbone_stays_as_it_was(tmp_path: Path, flash_bytes: int) -> None:
    module = model(frozen=False)
    config = replace(SHORT, flash_bytes=flash_bytes)
    run = nestnet.train(config, module=module, out=tmp_path, quiet=True)
    trained = load_checkpoint(run / runs.CHECKPOINT).network
    for name, value in module.named_parameters():
        keys = [f"body.{name}.{level}" for level in range(2)] if name.startswith("1.") else []
        for key in keys or [f"body.{name}"]:
            same = trained[key].shape == value.shape and torch.equal(trained[key], value)
            assert same == (not name.startswith("6.")), key


def test_a_wholly_frozen_model_is_refused_before_a_run_is_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="every parameter of the model is frozen"):
        nestnet.train(SHORT, module=model(frozen=True), out=tmp_path, quiet=True)
    assert not list(tmp_path.iterdir())


class Detaching(nn.Module):
    """A frozen backbone, written with detach; with ``skip`` part of it is trained another way."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.how = how
        self.stem = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU())
        self.back = nn.Sequential(nn.Conv2d(5, 5, 1), nn.BatchNorm2d(5), nn.ReLU())
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.how in ("no_grad", "inference"):
            with torch.no_grad() if self.how == "no_grad" else torch.inference_mode():
                x = self.back(self.stem(x))
            return self.head(x.mean((2, 3)))
        x = self.stem(x)
        y = self.back(x.detach() if self.how == "stem" else x)
        y = y if self.how == "stem" else y.detach()
        return self.head((y + x if self.how == "partly" else y).mean((2, 3)))


@pytest.mark.parametrize(
    ("how", "frozen"), [("stem", {"stem"}), ("all", {"stem", "back"}), ("partly", {"back"})]
)
def test_what_forward_detaches_is_frozen(how: str, frozen: set[str]) -> None:
    module = Detaching(how)
    with pytest.warns(Notice, match="detach at .*test_frozen.py:") as said:
        net = nestnet.nest(module, (7, 5, 3), sparsity=(0.0,)).train()
    module(torch.rand(7, 3, 7, 5)).square().sum().backward()
    assert frozen == {
        name.partition(".")[0] for name, value in module.named_parameters() if value.grad is None
    }
    got = {name.split(".")[1] for name, p in net.named_parameters() if not p.requires_grad}
    assert got == frozen
    told = [str(entry.message) for entry in said]
    assert any("'back." in text and "stay frozen" in text for text in told) == ("back" in frozen)
    assert any("is left out" in text and "'stem." in text for text in told) == (how == "partly")


def test_no_grad_in_forward_is_answered() -> None:
    with pytest.raises(UserError, match=r"no torch.no_grad\(\) in forward: detach\(\) its result"):
        nestnet.nest(Detaching("no_grad"), (7, 5, 3), sparsity=(0.0,))


def test_what_inference_mode_keeps_from_training_is_frozen() -> None:
    """It leaves no trace in a graph; the module's own gradients show it."""
    module = Detaching("inference")
    with pytest.warns(Notice, match=r"no gradient reaches 8 parameters.*inference_mode"):
        net = nestnet.nest(module, (7, 5, 3), sparsity=(0.0,))
    got = {name.split(".")[1] for name, p in net.named_parameters() if p.requires_grad}
    assert got == {"head"}


def test_what_is_skipped_by_chance_is_not_frozen() -> None:
    class Skipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.block = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 5, 1)
            self.head = nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            x = x if self.training else x + self.block(x)
            return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]

    with pytest.warns(Notice, match="what it does in training mode only is left out"):
        net = nestnet.nest(Skipping(), (7, 5, 3), sparsity=(0.0,))
    assert all(parameter.requires_grad for parameter in net.parameters())
