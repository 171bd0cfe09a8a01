"""Training leaves the parameters alone that the user froze."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import nestnet
from codegen.errors import UserError
from nestnet import runs
from nestnet.config import TrainConfig
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
