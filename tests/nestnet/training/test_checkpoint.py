"""Checkpoints give back what was saved, and refuse anything else with a clear error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from codegen.errors import UserError
from nestnet import runfiles
from nestnet.runfiles import write_atomic
from nestnet.training import checkpoint as module
from nestnet.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint


def _state() -> Checkpoint:
    generator = torch.Generator().manual_seed(5)
    weight = torch.randn(7, 5, 3, 3, generator=generator)
    return Checkpoint(
        config_toml="epochs = 3\n",
        epoch=2,
        input_shape=(13, 11, 3),
        class_names=("cat", "dög"),
        accuracy_float=(0.25, 1.0),
        quantized=True,
        network={
            "a.weight": weight.contiguous(memory_format=torch.channels_last),
            "a.level_map": torch.arange(6, dtype=torch.uint8),
            "a.count": torch.tensor(4),
        },
        optimizer={"momentum_buffer.a.weight": weight * 2},
        average={"a.weight": weight * 3},
    )


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(_state(), path)
    loaded, wanted = load_checkpoint(path), _state()
    for field in (
        "config_toml",
        "epoch",
        "input_shape",
        "class_names",
        "accuracy_float",
        "quantized",
    ):
        assert getattr(loaded, field) == getattr(wanted, field)
    for part in ("network", "optimizer", "average"):
        assert getattr(loaded, part).keys() == getattr(wanted, part).keys()
        for key, tensor in getattr(wanted, part).items():
            assert torch.equal(getattr(loaded, part)[key], tensor)
    first = path.read_bytes()
    save_checkpoint(_state(), path)
    assert path.read_bytes() == first
    assert os.listdir(tmp_path) == [path.name]


def test_momentum_of_older_files_is_the_optimizers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(_state(), path)
    load = module._with_prefix

    def older(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
        was = {
            key.replace("optimizer.momentum_buffer.", "momentum."): value
            for key, value in tensors.items()
            if not key.startswith("average.")
        }
        return load(was, prefix)

    monkeypatch.setattr(module, "_with_prefix", older)
    loaded = load_checkpoint(path)
    assert list(loaded.optimizer) == ["momentum_buffer.a.weight"]
    assert torch.equal(
        loaded.optimizer["momentum_buffer.a.weight"], _state().network["a.weight"] * 2
    )
    assert not loaded.average


def test_every_truncation_and_bit_flip_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(_state(), path)
    good = path.read_bytes()
    damaged = [good[:length] for length in range(0, len(good), 97)]
    damaged += [
        good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :]
        for at in range(0, len(good), 61)
    ]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(UserError):
            load_checkpoint(path)


def test_a_newer_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(module, "SCHEMA_VERSION", module.SCHEMA_VERSION + 1)
        save_checkpoint(_state(), path)
    with pytest.raises(UserError, match=r"newer version.*at most 3.*Update nestnet"):
        load_checkpoint(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    missing = tmp_path / "missing.safetensors"
    with pytest.raises(UserError, match="no such file"):
        load_checkpoint(missing)
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(3)}, other)
    with pytest.raises(UserError, match="another kind of file"):
        load_checkpoint(other)
    other.write_text("hello")
    with pytest.raises(UserError, match="cannot read the checkpoint"):
        load_checkpoint(other)


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full_disk(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(runfiles.os, "fsync", full_disk)
    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
