"""A run knows how its network sees pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import nestnet
from codegen.errors import UserError
from codegen.graph import file as nestfile
from nestnet import config as configs
from nestnet import runs
from nestnet.config import TrainConfig

SHORT = TrainConfig(epochs=3, split=(0.4, 0.2, 0.2, 0.2), sparsity=(0.5,))


def test_run_trains_and_exports_its_own_normalization(tmp_path: Path) -> None:
    run = nestnet.train(SHORT, out=tmp_path, quiet=True, mean=0, std=1)
    assert configs.load(run / runs.CONFIG).std == (1.0,)
    graph = nestfile.load(run / runs.MODEL)
    source = graph.only_input
    assert (source.scale, source.zero_point) == ((1 / 255,), -128)
    (level,) = nestnet.evaluate(run)
    assert level.accuracy_quantized > 0.6
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match="sees its data otherwise"):
        nestnet.train(SHORT, out=tmp_path, quiet=True, init_from=run)
    assert sorted(tmp_path.iterdir()) == before
    near = replace(SHORT, mean=(1e-6,), std=(1.0,), init_from=str(run))
    same = nestnet.train(near, out=tmp_path, quiet=True)
    assert (same / runs.MODEL).is_file(), "another way to write the same pixels"
