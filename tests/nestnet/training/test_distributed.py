"""Two processes under torchrun train one run together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from codegen.errors import UserError
from codegen.graph import file as nestfile
from nestnet import runs
from nestnet.training import distributed
from tests.support.commands import ROOT

SCRIPT = """
import hashlib, sys
from pathlib import Path
import torch
import nestnet.training.train
from nestnet.config import TrainConfig
torch.set_num_threads(1)
module = sys.modules["nestnet.training.train"]
finish = module.finish
def report(session, run):
    state = session.network.state_dict()
    weights = b"".join(t.numpy().tobytes() for k, t in sorted(state.items()))
    digest = Path(sys.argv[2], f"rank{session.processes.rank}")
    digest.write_text(f"{session.processes.world} {hashlib.sha256(weights).hexdigest()}")
    finish(session, run)
module.finish = report
config = TrainConfig(epochs=8, split=(0.4, 0.2, 0.2, 0.2), device="cpu")
module.train(config, Path(sys.argv[1]), quiet=True)
"""


@pytest.mark.parametrize(
    ("device", "gpus", "backend"),
    [("auto", 0, "gloo"), ("auto", 2, "nccl"), ("cuda", 2, "nccl"), ("cpu", 2, "gloo")],
)
def test_processes_with_a_gpu_each_exchange_through_nccl(
    device: str, gpus: int, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    joined: list[str] = []
    for key, value in {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(torch.distributed, "init_process_group", joined.append)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 3)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 4)
    assert distributed.join(device) == distributed.Processes(3, 4, 1)
    assert joined == [backend]
    assert taken == ([1] if backend == "nccl" else [])


def test_more_processes_than_gpus_is_a_user_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in {"RANK": "2", "WORLD_SIZE": "3", "LOCAL_RANK": "2"}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match="more processes than GPUs"):
        distributed.join("auto")


def test_two_processes_hold_the_same_weights_and_write_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(script), str(tmp_path / "runs"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = ((tmp_path / f"rank{rank}").read_text() for rank in range(2))
    assert first == second and first.startswith("2 ")
    (run,) = (tmp_path / "runs").iterdir()
    lines = [json.loads(line) for line in (run / runs.METRICS).read_text().splitlines()]
    keys = [(line["epoch"], line["level"]) for line in lines]
    assert len(keys) == len(set(keys))
    graph = nestfile.load(run / runs.MODEL)
    assert all((level.accuracy_quantized or 0) > 0.85 for level in graph.levels)
