"""A run that was killed, interrupted or spoilt continues to the same bytes or says why not."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import nestnet
from codegen.errors import UserError
from nestnet import runs
from nestnet.config import TrainConfig, to_toml
from nestnet.runfiles import alone
from nestnet.tasks.classification import Classification
from nestnet.training import loop, phases, record
from nestnet.training.checkpoint import load_checkpoint
from nestnet.training.train import resume, train
from tests.support.commands import ROOT

CONFIG = TrainConfig(name="run", epochs=7, split=(0.3, 0.3, 0.2, 0.2), batch=256, seed=11)
"""5 steps an epoch; 2 epochs warm-up, 2 ramp, 2 recovery, 1 quantized."""


class Killed(BaseException):
    """Stands for a kill: nothing in the code may catch it."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    torch.set_num_threads(1)
    return train(CONFIG, tmp_path_factory.mktemp("whole"), quiet=True)


def _assert_same(run: Path, whole: Path) -> None:
    for name in (runs.CHECKPOINT, runs.MODEL):
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    lines = [
        [
            {k: v for k, v in json.loads(line).items() if k != "seconds"}
            for line in (folder / runs.METRICS).read_text().splitlines()
        ]
        for folder in (run, whole)
    ]
    assert lines[0] == lines[1]
    assert not list(run.glob("*.partial"))


def _raise_at_call(count: int, original: Callable[..., Any], error: BaseException) -> Any:
    calls = 0

    def patched(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count:
            raise error
        return original(*args, **kwargs)

    return patched


@pytest.mark.parametrize(
    ("module", "function", "call"),
    [
        (Classification, "loss", 2),  # before the first checkpoint
        (Classification, "loss", 13),  # in the middle of an epoch of the ramp
        (record, "save_checkpoint", 4),  # the epoch's metrics are written, its checkpoint is not
        (phases, "quantize", 1),  # between two phases
        (Classification, "loss", 32),  # in the quantization-aware phase
        (record, "write_model", 1),  # after the last checkpoint
    ],
)
def test_a_killed_run_resumes_to_the_same_bytes(
    module: ModuleType | type,
    function: str,
    call: int,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, function, _raise_at_call(call, getattr(module, function), Killed()))
        with pytest.raises(Killed):
            train(CONFIG, tmp_path, quiet=True)
    assert not (tmp_path / "run" / runs.MODEL).exists()
    resume(tmp_path / "run", quiet=True)
    _assert_same(tmp_path / "run", whole)


@pytest.mark.parametrize("call", [13, 28])
def test_adamw_clipping_and_an_average_resume_to_the_same_bytes(
    call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the ramp, in which the average has statistics of every level, and later."""
    config = replace(CONFIG, optimizer="adamw", lr=0.002, clip=1.0, ema=0.9, warmup=0.1, lr_end=0.1)
    torch.set_num_threads(1)
    undisturbed = train(config, tmp_path / "whole", quiet=True)
    with monkeypatch.context() as patch:
        patch.setattr(Classification, "loss", _raise_at_call(call, Classification.loss, Killed()))
        with pytest.raises(Killed):
            train(config, tmp_path, quiet=True)
    stopped = load_checkpoint(tmp_path / "run" / runs.CHECKPOINT)
    weight = "body.head.weight"
    assert not torch.equal(stopped.average[weight], stopped.network[weight])
    assert {key.partition(".")[0] for key in stopped.optimizer} == {"exp_avg", "exp_avg_sq", "step"}
    resume(tmp_path / "run", quiet=True)
    _assert_same(tmp_path / "run", undisturbed)
    assert not load_checkpoint(undisturbed / runs.CHECKPOINT).average


def test_a_process_killed_while_it_writes_resumes_to_the_same_bytes(
    whole: Path, tmp_path: Path
) -> None:
    script = """
import os, signal, sys
import torch
from pathlib import Path
import nestnet.runfiles
from nestnet.config import from_toml
from nestnet.training.train import train
torch.set_num_threads(1)
replace, calls = os.replace, 0
def killing(source, target):
    global calls
    calls += str(target).endswith("checkpoint.safetensors")
    if calls == 3:
        with open(source, "r+b") as file:
            file.truncate(1000)
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
nestnet.runfiles.os.replace = killing
train(from_toml(sys.argv[1], "test"), Path(sys.argv[2]), quiet=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, to_toml(CONFIG), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    run = tmp_path / "run"
    assert load_checkpoint(run / runs.CHECKPOINT).epoch == 2
    assert (run / f"{runs.CHECKPOINT}.partial").stat().st_size == 1000
    resume(run, quiet=True)
    _assert_same(run, whole)


def test_resuming_a_finished_run_writes_nothing(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its folder may lie on a medium that cannot be written."""

    def state() -> dict[str, tuple[bytes, int, int]]:
        paths = {path.name: (path, path.stat()) for path in whole.iterdir()}
        return {n: (p.read_bytes(), s.st_ino, s.st_mtime_ns) for n, (p, s) in paths.items()}

    before = state()
    assert resume(whole) == whole
    assert state() == before
    shown = capsys.readouterr().out
    assert "(before the quantization-aware epochs)" in shown
    assert "kept" in shown and "wrote" not in shown and "int8   L0" in shown


@pytest.mark.parametrize("left", [None, b"", b"cut"], ids=["no model", "an empty one", "a cut one"])
def test_a_finished_run_without_its_model_writes_it_again(
    left: bytes | None, whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (run / runs.MODEL).unlink()
    if left is not None:
        (run / runs.MODEL).write_bytes(left)
    resume(run, quiet=True)
    _assert_same(run, whole)


def test_ctrl_c_says_how_to_continue(
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        stopped = _raise_at_call(13, Classification.loss, KeyboardInterrupt())
        patch.setattr(Classification, "loss", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(CONFIG, tmp_path)
    assert f"nestnet train --resume {tmp_path / 'run'}" in capsys.readouterr().out
    resume(tmp_path / "run", quiet=True)
    _assert_same(tmp_path / "run", whole)


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, original = 0, Classification.loss

    def spoilt(*args: Any) -> torch.Tensor:
        nonlocal steps
        steps += 1
        loss = original(*args)
        return loss * math.nan if steps > 12 else loss

    monkeypatch.setattr(Classification, "loss", spoilt)
    with pytest.raises(UserError, match="stopped being a number in epoch 3") as caught:
        train(CONFIG, tmp_path, quiet=True)
    assert "epoch 2 is kept" in str(caught.value)
    state = load_checkpoint(tmp_path / "run" / runs.CHECKPOINT)
    assert state.epoch == 2
    assert all(bool(t.isfinite().all()) for t in state.network.values() if t.is_floating_point())


@pytest.mark.parametrize("spoil", ["body.stem_norm.running_var", "body.head.bias"])
def test_a_state_that_is_not_finite_stops_in_its_epoch_though_the_loss_is(
    spoil: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the warm-up only the densest level runs, so no loss shows what happened to level 0; a
    weight may be lost by the last step of an epoch."""
    epochs = 0

    def spoilt(network: torch.nn.Module) -> None:
        nonlocal epochs
        epochs += 1
        if epochs == 2:
            network.state_dict()[spoil][0] = math.inf

    monkeypatch.setattr(loop.distributed, "average_statistics", spoilt)
    name = spoil.removeprefix("body.")
    with pytest.raises(UserError, match=rf"'{name}' stopped being finite in epoch 2") as caught:
        train(CONFIG, tmp_path, quiet=True)
    assert "epoch 1 is kept" in str(caught.value)
    assert load_checkpoint(tmp_path / "run" / runs.CHECKPOINT).epoch == 1


@pytest.mark.parametrize(
    ("call", "number", "action"),
    [
        (1, errno.ENOSPC, "Make room"),
        (4, errno.EDQUOT, "Make room"),
        (9, errno.EROFS, "Make the folder writable"),
        (2, errno.EACCES, "Make the folder writable"),
        (3, errno.EIO, "Remove the cause"),
    ],
)
def test_a_file_that_cannot_be_written_says_how_to_go_on(
    call: int,
    number: int,
    action: str,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failure = OSError(number, os.strerror(number))
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _raise_at_call(call, os.fsync, failure))
        with pytest.raises(UserError, match=f"{action}.*train --resume {run}") as caught:
            train(CONFIG, tmp_path, quiet=True)
    assert os.strerror(number) in str(caught.value)
    assert not list(run.glob("*.partial"))
    resume(run, quiet=True)
    _assert_same(run, whole)


def test_two_processes_do_not_train_one_run(whole: Path) -> None:
    before = {path.name: path.read_bytes() for path in whole.iterdir()}
    with alone(whole), pytest.raises(UserError, match="is being trained"):
        resume(whole, quiet=True)
    assert {path.name: path.read_bytes() for path in whole.iterdir()} == before
    resume(whole, quiet=True)


def test_a_learning_rate_that_diverges_is_a_user_error(tmp_path: Path) -> None:
    wild = TrainConfig(name="run", epochs=2, lr=1e20)
    with pytest.raises(UserError, match="lower --lr"):
        train(wild, tmp_path, quiet=True)


OWN_MODEL = """
from torch import nn
def factory(input_shape, classes):
    return nn.Sequential(
        nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Conv2d(5, {c}, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear({c} * 16, classes))
"""


def test_a_changed_model_file_does_not_resume(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(OWN_MODEL.format(c=7))
    config = TrainConfig(name="run", model=f"{file}:factory", epochs=1, split=(0, 0, 1, 0))
    run = train(config, tmp_path, quiet=True)
    file.write_text(OWN_MODEL.format(c=8))
    for again in (lambda: resume(run, quiet=True), lambda: nestnet.evaluate(run)):
        with pytest.raises(UserError, match=r"does not fit the model .*own\.py:factory"):
            again()


def test_a_run_resumes_without_the_run_it_started_from(tmp_path: Path) -> None:
    first = train(TrainConfig(name="first", epochs=1), tmp_path, quiet=True)
    run = train(TrainConfig(name="run", epochs=1, init_from=str(first)), tmp_path, quiet=True)
    before = (run / runs.CHECKPOINT).read_bytes()
    (first / runs.CHECKPOINT).unlink()
    assert resume(run, quiet=True) == run
    assert (run / runs.CHECKPOINT).read_bytes() == before


def test_a_changed_configuration_does_not_resume(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for path in whole.iterdir():
        (run / path.name).write_bytes(path.read_bytes())
    text = (whole / runs.CONFIG).read_text()
    assert "lr = 0.1\n" in text
    (run / runs.CONFIG).write_text(text.replace("lr = 0.1\n", "lr = 1.0\n"))
    with pytest.raises(UserError, match="not the configuration of the checkpoint"):
        resume(run, quiet=True)
