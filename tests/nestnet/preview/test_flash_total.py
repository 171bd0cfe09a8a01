"""A budget for the whole firmware holds for the firmware that is built."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import nestnet
from codegen import flow
from codegen.errors import UserError
from codegen.graph import file as nestfile
from nestnet.config import TrainConfig
from nestnet.preview.flash_total import resolve
from nestnet.training.session import prepare
from tests.support.projects import need_tools

CONFIG = TrainConfig(flash_total_bytes=24000, board="stm32f4")


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
    assert 0.93 * 24000 <= built.sizes.flash_bytes <= 24000


def test_less_flash_than_the_code_is_refused() -> None:
    need_tools("stm32f4")
    with pytest.raises(UserError, match="the code alone takes more"):
        resolve(replace(CONFIG, flash_total_bytes=4000))


def test_a_board_without_flash_is_refused() -> None:
    with pytest.raises(UserError, match="has no flash to fit"):
        resolve(replace(CONFIG, board="host"))
