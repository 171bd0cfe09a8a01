"""Sounds in class folders."""

from __future__ import annotations

import io
import re
import wave
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from codegen.errors import UserError
from nestnet import datasets
from nestnet.datasets.wav import placed, read
from tests.support.data_trees import write_directory
from tests.support.sounds import tone, tree


def test_sounds_are_heard_as_the_description_says(tmp_path: Path) -> None:
    data = datasets.load("wav", write_directory(tree(), tmp_path))
    what = data.spectrogram
    assert what is not None and (what.rate_hz, what.frame, what.hop, what.fft) == (
        8000,
        256,
        128,
        256,
    )
    assert data.input_shape == what.shape == (5, 3, 1) and what.samples == 768
    assert data.class_names == ("high", "low") and data.default_augment == "sound"
    assert data.train.sound is not None and data.train.sound.shape == (8, 768)
    assert np.array_equal(data.train.images, what.of_clips(data.train.sound))
    assert data.train.images.dtype == np.int16 and len(data.test.images) == 4
    low, high = (
        data.train.images[data.train.targets == label, ..., 1, 0].mean() for label in (1, 0)
    )
    assert low > high + 500, "the first coefficient falls from low to high"


def test_groups_are_split_whole(tmp_path: Path) -> None:
    files = tree(splits=False)
    files["sound.toml"] += b'group_of_file = "_([a-z]+)"\ntest_groups = ["bob"]\n'
    data = datasets.load("wav", write_directory(files, tmp_path))
    assert len(data.test.images) == 4 and "as named: bob" in data.notes[0]


def test_groups_on_both_sides_are_spoken_of(tmp_path: Path) -> None:
    files = tree()
    files["sound.toml"] += b'group_of_file = "_([a-z]+)"\n'
    files["test/low/9_ann.wav"] = tone(333)
    data = datasets.load("wav", write_directory(files, tmp_path))
    assert "groups in train/ and in test/: ann" in data.notes[0]


def test_test_sounds_are_drawn(tmp_path: Path) -> None:
    data = datasets.load("wav", write_directory(tree(splits=False), tmp_path), None, 0.4)
    assert data.test_share == 0.4 and {0, 1} <= set(data.test.targets.tolist())
    assert "sounds are test sounds" in data.notes[0]


def test_short_sounds_lie_in_the_middle_and_of_long_ones_the_loudest_part_is_taken() -> None:
    assert placed(np.array([3, 4], np.int16), 5).tolist() == [0, 3, 4, 0, 0]
    long = np.array([1, 2, 9, -9, 3, 1, 9, 0], np.int16)
    assert placed(long, 3).tolist() == [9, -9, 3] and placed(long, 8).tolist() == long.tolist()


def test_channels_are_averaged_and_other_depths_become_16_bits() -> None:
    samples, rate_hz = read(tone(440, channels=2, rate_hz=11025))
    assert (
        rate_hz == 11025 and samples.dtype == np.int16 and samples.max() == pytest.approx(9000, 5)
    )
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(bytes([128, 255, 0]))
    assert read(buffer.getvalue())[0].tolist() == [0, 127 << 8, -(128 << 8)]


def encoded(samples: NDArray[np.float64], kind: str, container: str = "WAV") -> bytes:
    """Return a sound file of ``samples``, 1 being full scale."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 8000, subtype=kind, format=container)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_real_numbers_are_shares_of_full_scale(kind: str) -> None:
    wave = np.array([0.0, 0.5, -0.5, 0.25, -1.0])
    assert read(encoded(wave, kind))[0].tolist() == [0, 16384, -16384, 8192, -32768]


def test_what_lies_beyond_full_scale_saturates() -> None:
    assert read(encoded(np.array([1.9, -1.9]), "FLOAT"))[0].tolist() == [32767, -32768]
    square = np.sign(np.sin(np.arange(8000) * 0.11)) * 0.999
    heard = read(encoded(square, "VORBIS", "OGG"))[0]  # its decoder reaches beyond 1
    assert np.abs(heard - square * 2**15).mean() < 4000, "nothing wraps around"


def broken(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return tree() | dict(files)


@pytest.mark.parametrize(
    ("files", "named"),
    [
        (
            {"train/low/x.wav": tone(99, rate_hz=16000)},
            "x.wav: another sampling rate than the other",
        ),
        ({"train/low/x.wav": b"RIFF"}, "x.wav: cannot be used as a sound"),
        ({"train/low/x.wav": tone(9, samples=0)}, "x.wav: no samples"),
        (
            {"train/low/x.wav": encoded(np.array([9000.0]), "FLOAT")},
            "x.wav: real numbers up to 9000, of which 1 is full scale",
        ),
        ({"train/low/x.wav": encoded(np.array([np.nan]), "DOUBLE")}, "x.wav: real numbers up to"),
        (
            {"train/low/x.wav": b"", "test/low/y.wav": b"no"},
            "2 files that cannot be used as sounds",
        ),
        ({"train/none/": b""}, "empty class folder; got no sound in none"),
        ({"train/x.wav": tone(9)}, "file outside a class folder"),
        ({"train/new/x.wav": tone(9)}, "train/ and test/ have different classes"),
        ({"sound.toml": b"mel = 3"}, "unknown key; got 'mel'"),
        ({"sound.toml": b"frame_ms = 0.0"}, "no such times; got frame_ms 0"),
        ({"sound.toml": b"mels = 300"}, "spectrogram: mels out of range"),
        ({"sound.toml": b"low_hz = 4000"}, "spectrogram: low_hz out of range"),
    ],
)
def test_what_cannot_be_used_is_named(
    files: Mapping[str, bytes], named: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=re.escape(named)):
        datasets.load("wav", write_directory(broken(files), tmp_path))


def test_what_does_not_go_with_sounds_is_refused(tmp_path: Path) -> None:
    path = write_directory(tree(), tmp_path)
    for match, load in (
        ("--resize: sounds have no height", lambda: datasets.load("wav", path, (3, 3))),
        ("--test-share: the data has test sounds", lambda: datasets.load("wav", path, None, 0.2)),
        ("needs a place", lambda: datasets.load("wav")),
    ):
        with pytest.raises(UserError, match=match):
            load()


def test_a_class_of_one_sound_cannot_be_split(tmp_path: Path) -> None:
    files: dict[str, bytes | NDArray[np.int16]] = {
        "a/1.wav": tone(9),
        "b/1.wav": tone(8),
        "b/2.wav": tone(7),
    }
    with pytest.raises(
        UserError, match="too few sounds to draw test sounds from; got one sound of a"
    ):
        datasets.load("wav", write_directory(files, tmp_path))


def test_what_was_heard_is_kept_until_files_or_the_description_change(
    tmp_path: Path, own_cache: Path
) -> None:
    path = write_directory(tree(), tmp_path)
    first = datasets.load("wav", path)
    (kept,) = own_cache.iterdir()
    assert len(np.load(kept)) == 12
    kept.write_bytes(b"damaged")
    assert np.array_equal(datasets.load("wav", path).train.images, first.train.images)
    (path / "sound.toml").write_bytes(b"seconds = 0.1\nmels = 11")
    assert datasets.load("wav", path).input_shape == (4, 10, 1)


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (tree(), "wav"),
        ({"windows.toml": b"", "a.csv": b""}, "windows"),
        ({"X_train.npy": b"", "y_train.npy": b""}, "arrays"),
    ],
)
def test_what_is_no_folder_of_images_names_its_data_set(
    files: Mapping[str, bytes], name: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"no data set of images.*Add --dataset {name}"):
        datasets.load("folder", write_directory(files, tmp_path))


def test_a_sound_that_ends_too_early_is_refused() -> None:
    """Unless its head does not know: a program that writes into a pipe says a very large size."""
    whole = tone(440)
    with pytest.raises(ValueError, match=r"^100 bytes of its samples are missing"):
        read(whole[:-100])
    at = whole.index(b"data") + 4
    piped = whole[:at] + b"\xff\xff\xff\xff" + whole[at + 4 : -100]
    assert len(read(piped)[0]) == len(read(whole)[0]) - 50
    with pytest.raises(ValueError, match=r"^Format not recognised\.?$"):
        read(b"ID3 is no sound")


def test_a_list_of_test_sounds_is_followed_and_noise_is_no_class(tmp_path: Path) -> None:
    files = tree(splits=False)
    names = sorted(name for name in files if name.endswith(".wav"))
    chosen = [name for name in names if name.startswith("low/")][:2]
    files["testing_list.txt"] = "\n".join(chosen).encode()
    data = datasets.load("wav", write_directory(files, tmp_path / "1"))
    assert data.test.targets.tolist() == [1, 1]
    assert len(data.train.images) == len(names) - 2
    assert f"test sounds are the 2 of {len(names)} that testing_list.txt names" in data.notes
    files["testing_list.txt"] = b"nobody/1.wav"
    with pytest.raises(UserError, match=r"testing_list\.txt: does not tell test.*got 0 of"):
        datasets.load("wav", write_directory(files, tmp_path / "2"))
    files |= {f"_background_noise_/{seed}.wav": tone(100 + seed) for seed in range(3)}
    with pytest.raises(UserError, match="_background_noise_: background noise beside the classes"):
        datasets.load("wav", write_directory(files, tmp_path / "3"))
