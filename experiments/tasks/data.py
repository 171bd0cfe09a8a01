"""Public data sets as the data sets of nestnet take them."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TRAINED = [
    "101",
    "106",
    "108",
    "109",
    "112",
    "114",
    "115",
    "116",
    "118",
    "119",
    "122",
    "124",
    "201",
    "203",
    "205",
    "207",
    "208",
    "209",
    "215",
    "220",
    "223",
    "230",
]
TESTED = [
    "100",
    "103",
    "105",
    "111",
    "113",
    "117",
    "121",
    "123",
    "200",
    "202",
    "210",
    "212",
    "213",
    "214",
    "219",
    "221",
    "222",
    "228",
    "231",
    "232",
    "233",
    "234",
]
"""Records of the usual split between patients (de Chazal et al. 2004)."""
BEATS = "NSVF"
DRAWN = (9000, 3000, 3800, 800)
"""Training beats of each class: fewer than there are, or some of them again."""
HALF = 64
"""Samples before and after a beat, at 120 Hz."""
RHYTHM = 1000
"""What an octave of an interval between beats is, in whole numbers."""

WINDOWS = """files = "user*.npy"
columns = ["0", "1", "2", "3", "4", "5"]
label = "6"
window = 128
hop = 64
classes = ["1", "2", "3", "4", "5", "6"]
names = ["walk", "upstairs", "downstairs", "sit", "stand", "lay"]
group_of_file = "user([0-9]+)_"
test_groups = ["02", "04", "09", "10", "12", "13", "18", "20", "24"]
"""


MASKS = """classes = ["membrane", "cell"]
tile = [128, 128]
margin = 12
test = ["24", "25", "26", "27", "28", "29"]
"""
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


def places(options: Any, folder: Path) -> dict[str, Path]:
    """Make what the trainings read from in ``folder``; return it by name."""
    if not folder.is_dir():
        activity(options.activity, folder / "activity")
        beats(options.beats, folder / "beats.npz")
        cells(options.cells, folder / "cells")
        words(options.words, folder / "words", "")
        for speaker in SPEAKERS:
            words(options.words, folder / f"words-{speaker}", speaker)
    found = {name: folder / name for name in ("activity", "cells", "words")}
    found |= {f"words-{speaker}": folder / f"words-{speaker}" for speaker in SPEAKERS}
    return {**found, "beats": folder / "beats.npz", "defects": options.defects}


def activity(source: Path, folder: Path) -> Path:
    """Put recordings userUU_K.npy of HAPT, (rows, 7) with the label last, beside a description."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.glob("user*.npy")):
        shutil.copy(file, folder / file.name)
    (folder / "windows.toml").write_text(WINDOWS, encoding="ascii")
    return folder


def words(source: Path, folder: Path, held_out: str) -> Path:
    """Put recordings DIGIT_SPEAKER_INDEX.wav of FSDD into class folders; tested is the speaker
    ``held_out``, or where that is empty the official split's 0..4 of each speaker."""
    for file in sorted(source.rglob("*.wav")):
        digit, speaker, index = file.stem.split("_")
        tested = speaker == held_out if held_out else int(index) < 5
        place = folder / ("test" if tested else "train") / digit
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place / file.name)
    return folder


def cells(source: Path, folder: Path) -> Path:
    """Put the sections of ISBI 2012, images/NN.png and labels/NN.png, beside a description."""
    for kind in ("images", "labels"):
        shutil.copytree(source / kind, folder / kind, dirs_exist_ok=True)
    (folder / "masks.toml").write_text(MASKS, encoding="ascii")
    return folder


def beats(source: Path, path: Path) -> Path:
    """Write arrays of the beats of MIT-BIH: the signal around each, and a channel of its rhythm."""
    parts = {name: [_beats(source, r) for r in records] for name, records in _SPLITS.items()}
    x, y = (np.concatenate(column) for column in zip(*parts["train"], strict=True))
    random = np.random.default_rng(0)
    chosen = []
    for label, count in enumerate(DRAWN):
        members = np.flatnonzero(y == label)
        chosen.append(random.choice(members, count, replace=len(members) < count))
    rows = random.permutation(np.concatenate(chosen))
    x_test, y_test = (np.concatenate(column) for column in zip(*parts["test"], strict=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    names = np.array(list(BEATS))
    np.savez(
        path, x_train=x[rows], y_train=y[rows], x_test=x_test, y_test=y_test, class_names=names
    )
    return path


_SPLITS = {"train": TRAINED, "test": TESTED}


def _beats(source: Path, record: str) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Return windows (n, 128, 2) of a record at 120 Hz, and their classes."""
    signal = np.load(source / f"{record}.npy").astype(np.float64)
    low = signal[: len(signal) // 3 * 3].reshape(-1, 3).mean(axis=1)
    with (source / f"{record}.csv").open(encoding="ascii", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["aami"] in "NSVFQ"]
    at = np.array([int(row["sample"]) for row in rows])
    intervals = np.diff(at)
    windows, labels = [], []
    for index in range(1, len(at) - 1):
        label, middle = BEATS.find(rows[index]["aami"]), at[index] // 3
        if label < 0 or middle < HALF or middle + HALF > len(low):
            continue
        window = low[middle - HALF : middle + HALF]
        usual = np.median(intervals[max(0, index - 10) : index + 10])
        octaves = np.log2(intervals[index - 1 : index + 1] / usual)
        rhythm = np.repeat(np.clip(octaves, -2, 2) * RHYTHM, HALF)
        windows.append(np.stack([window - np.median(window), rhythm], axis=1))
        labels.append(label)
    return np.rint(windows).astype(np.int16), np.array(labels, np.int64)
