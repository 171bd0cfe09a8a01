"""Two processes under torchrun train one run together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from codegen import nestfile
from nestnet import runs

SCRIPT = """
import hashlib, sys
from pathlib import Path
import torch
import nestnet.train
from nestnet.config import TrainConfig
torch.set_num_threads(1)
loop = sys.modules["nestnet.train"]
finish = loop._finish
def report(session, run):
    state = session.network.state_dict()
    weights = b"".join(t.numpy().tobytes() for k, t in sorted(state.items()))
    digest = Path(sys.argv[2], f"rank{session.processes.rank}")
    digest.write_text(f"{session.processes.world} {hashlib.sha256(weights).hexdigest()}")
    return finish(session, run)
loop._finish = report
config = TrainConfig(epochs=8, split=(0.4, 0.2, 0.2, 0.2), device="cpu")
loop.train(config, Path(sys.argv[1]), quiet=True)
"""


def test_two_processes_hold_the_same_weights_and_write_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(script), str(tmp_path / "runs"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
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
