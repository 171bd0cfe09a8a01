"""A budget for the whole firmware holds for the firmware that is built."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nestnet
from codegen import flow
from codegen.errors import UserError
from codegen.graph import file as nestfile
from nestnet import config as configs
from nestnet import runs
from nestnet.config import TrainConfig
from nestnet.notices import Notice
from nestnet.preview import flash_total
from nestnet.preview.flash_total import resolve
from nestnet.training.session import prepare
from tests.support.projects import need_tools

CONFIG = TrainConfig(flash_total_bytes=24000, board="stm32f4")


class Coded(nn.Module):
    """A table that all levels share, and layers that are decoded or not as training has it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.body = nn.Conv2d(8, 8, 3, padding=1)
        self.point = nn.Conv2d(8, 8, 1)
        self.last = nn.Conv2d(17, 16, 3, padding=1, stride=2)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.silu(self.stem(x))
        z = torch.cat([F.leaky_relu(self.body(y), 0.1), F.gelu(self.point(y)), x], 1)
        z = F.adaptive_avg_pool2d(F.relu(self.last(z)), 1)
        head: torch.Tensor = self.head(torch.flatten(z, 1))
        return head


def short(levels: int, total: int) -> TrainConfig:
    """Return a training of seconds."""
    sparsity = (0.9, 0.7, 0.4)[-levels:]
    return replace(CONFIG, sparsity=sparsity, epochs=3, flash_total_bytes=total)


@pytest.mark.parametrize("codecs", ["all", "lz4"])
def test_the_firmware_fits(codecs: str, tmp_path: Path) -> None:
    need_tools("stm32f4")
    config = resolve(replace(CONFIG, codecs=codecs))
    assert resolve(config) == config
    session = prepare(config, quiet=True)
    assert session.budget is not None
    session.budget.prune(1.0)
    images = session.train.images[:64].numpy()
    path = nestnet.export(nestnet.quantize(session.network, images), tmp_path / "net.nestnet")
    graph = nestfile.load(path)
    source = replace(graph.provenance, flash_budget_bytes=config.flash_bytes, codecs=config.codecs)
    nestfile.save(replace(graph, provenance=source), path)
    built = flow.build(flow.codegen(path, "stm32f4", tmp_path / "project"))
    assert 0.92 * 24000 <= built.sizes.flash_bytes <= 24000


def test_less_flash_than_the_code_is_refused() -> None:
    need_tools("stm32f4")
    with pytest.raises(UserError, match="the code alone takes more"):
        resolve(replace(CONFIG, flash_total_bytes=4000))


def test_a_board_without_flash_is_refused() -> None:
    with pytest.raises(UserError, match="has no flash to fit"):
        resolve(replace(CONFIG, board="host"))


@pytest.mark.parametrize(("levels", "total"), [(3, 17000), (1, 14500)])
def test_the_firmware_of_a_trained_network_fits(
    levels: int, total: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need_tools("stm32f4")
    torch.manual_seed(0)
    run = nestnet.train(short(levels, total), module=Coded(), out=tmp_path / "runs")
    config = configs.load(run / runs.CONFIG)
    built = flow.build(flow.codegen(run / runs.MODEL, "stm32f4", tmp_path / "project"))
    taken, weights = built.sizes.flash_bytes, built.sizes.weights_bytes
    assert 0.93 * total <= taken <= total
    assert built.sizes.code_bytes <= total - config.flash_bytes
    printed = capsys.readouterr().out
    assert f"flash  {weights:,} of {config.flash_bytes:,} bytes" in printed
    assert f"flash  {taken:,} of {total:,} bytes for the whole firmware" in printed
    counted = json.loads((run / runs.METRICS).read_text().splitlines()[-1])["stored_bytes"]
    if levels > 1:
        assert weights <= counted - (levels - 1) * 256, "one table of silu for all levels"
    flash_total.report(replace(config, flash_total_bytes=taken), run)
    with pytest.raises(UserError, match=rf"(?s)got {taken} bytes.*at most {taken - 1}\b"):
        flash_total.report(replace(config, flash_total_bytes=taken - 1), run)


def test_a_trained_network_that_takes_more_is_said(tmp_path: Path) -> None:
    need_tools("stm32f4")
    given = replace(short(2, 12000), flash_bytes=7000)
    with pytest.raises(UserError, match="takes more than the budget") as caught:
        nestnet.train(replace(given, name="more"), module=Coded(), out=tmp_path, quiet=True)
    assert "at most 12000" in str(caught.value)
    assert (tmp_path / "more" / runs.MODEL).is_file()
    with pytest.raises(UserError, match="takes more than the budget"):
        nestnet.resume(tmp_path / "more", module=Coded(), quiet=True)


def test_without_a_toolchain_it_is_said_that_nothing_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.warns(Notice, match="firmware was not measured"):
        flash_total.report(CONFIG, tmp_path, quiet=True)
    assert not list(tmp_path.iterdir())
