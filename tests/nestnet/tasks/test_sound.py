"""Recordings that are changed at random, and a training that hears them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import nestnet
from codegen.graph import file as nestfile
from codegen.graph.sources.spectrogram import Spectrogram
from nestnet import datasets, runs
from nestnet.cli.device_images import device_images
from nestnet.tasks import _sound as sound
from tests.support.data_trees import write_directory
from tests.support.sounds import tree

WHAT = Spectrogram(rate_hz=8000, frame=256, hop=128, frames=30)


def tones(count: int) -> np.ndarray:
    t = np.arange(WHAT.samples)
    middle = np.abs(t - WHAT.samples / 2) < WHAT.samples / 5
    return np.stack([np.rint(9000 * np.sin(0.4 * t) * middle)] * count).astype(np.int16)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_clips_change_alike_for_the_same_seed_and_keep_their_form() -> None:
    clips = tones(5)
    first, again, other = (sound.changed(clips, generator(seed), WHAT) for seed in (0, 0, 1))
    assert first.shape == clips.shape and first.dtype == np.int16
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert len({clip.tobytes() for clip in first}) == 5, "every clip in a way of its own"


def test_speed_moves_pitch_within_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "NOISE", 0)
    changed = sound.changed(tones(40), generator(), WHAT)
    peaks = np.abs(np.fft.rfft(changed)).argmax(axis=1) / np.abs(np.fft.rfft(tones(1))).argmax()
    low, high = sound.SPEED
    assert low - 0.02 < peaks.min() < 0.9 and 1.1 < peaks.max() < high + 0.02


def test_a_training_hears_and_a_device_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = write_directory(tree(), tmp_path / "words")
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def make(shape, classes):\n"
        "    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(),\n"
        "                         nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Flatten(),\n"
        "                         nn.Linear(4 * shape[0] * shape[1], classes))\n"
    )
    run = nestnet.train(
        out=tmp_path, quiet=True, dataset="wav", data=data, epochs=4, batch=4, sparsity=(0.5, 0.2),
        model=f"{tmp_path / 'net.py'}:make", group="1x1",
    )  # fmt: skip
    loaded = datasets.load("wav", data)
    source = nestfile.load(run / runs.MODEL).only_input.source
    assert source is not None and source.spectrogram == loaded.spectrogram  # type: ignore[union-attr]
    given = device_images(run / runs.MODEL, 4).inputs[0]
    assert np.array_equal(given, source.quantize(loaded.test.images)) and len(np.unique(given)) > 7
