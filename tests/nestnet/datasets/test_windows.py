"""Windows of recordings."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from codegen.errors import UserError
from nestnet import datasets
from tests.support.data_trees import write_directory

TOML = """columns = ["gyro", "acc"]
label = "what"
window = 5
hop = 2
test_groups = ["eve"]
group = "who"
"""


def recording(rows: int, who: str, first: int = 0, what: str = "") -> bytes:
    """Return a CSV recording: walking, from row 12 on running."""
    lines = ["time,acc, gyro,who,what"]
    for row in range(rows):
        label = what or ("walk" if row < 12 else "run")
        lines.append(f"{row / 50},{first + row},{-10 * row},{who},{label}")
    return "\n".join(lines).encode()


def folder(path: Path, toml: str = TOML, more: Mapping[str, bytes] | None = None) -> Path:
    files = {
        "windows.toml": toml.encode(),
        "a.csv": recording(24, "ann"),
        "deep/b.csv": recording(24, "bob", 100),
        "c.csv": recording(21, "eve", 200),
    }
    return write_directory(files | dict(more or {}), path)


def test_windows_are_cut_and_split_by_group(tmp_path: Path) -> None:
    data = datasets.load("windows", folder(tmp_path))
    assert data.class_names == ("run", "walk") and data.input_shape == (1, 5, 2)
    assert data.train.images.dtype == np.int16
    # begins 0 2 4 6 walk, 8 and 10 mixed, 12 14 16 18 run: of two recordings
    assert data.train.targets.tolist() == [1, 1, 1, 1, 0, 0, 0, 0] * 2
    first, last = data.train.images[0, 0], data.train.images[-1, 0]
    assert first.tolist() == [[0, 0], [-10, 1], [-20, 2], [-30, 3], [-40, 4]]
    assert last[-1].tolist() == [-220, 122]
    assert data.test.images[0, 0, 0].tolist() == [0, 200]
    assert "test groups, as named: eve (7 of 23 windows)" in data.notes
    assert any("6 windows left out: less than 90% of one class" in note for note in data.notes)


def test_npy_recordings_have_numbers_for_columns(tmp_path: Path) -> None:
    files = {}
    for user in range(1, 6):
        table = np.stack([np.arange(30) + 0.5, np.full(30, user), np.arange(30) // 15], axis=1)
        buffer = io.BytesIO()
        np.save(buffer, table)
        files[f"user{user:02}_0.npy"] = buffer.getvalue()
    toml = """files = "user*.npy"
columns = ["0"]
label = "2"
window = 4
group_of_file = "user(..)_"
classes = ["1", "0"]
names = ["still", "moving"]
"""
    data = datasets.load(
        "windows", write_directory(files | {"windows.toml": toml.encode()}, tmp_path)
    )
    assert data.train.images.dtype == np.float32 and data.class_names == ("still", "moving")
    assert data.train.targets[0] == 1, "0 is the second of the classes"
    assert len(data.test.images) * 4 == len(data.train.images), "one of five users is drawn"


def test_one_group_in_a_window(tmp_path: Path) -> None:
    """A recording in which the wearer changes: windows over the change are left out."""
    both = (
        recording(8, "ann", what="walk")
        + b"\n"
        + b"\n".join(recording(8, "eve", what="walk").splitlines()[1:])
    )
    data = datasets.load("windows", folder(tmp_path, more={"d.csv": both}))
    assert len(data.train.images) == 16 + 2 and len(data.test.images) == 7 + 2


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (
            '"gyro", "acc"',
            '"gyro", "acceleration"',
            "no such column; got acceleration, expected ti",
        ),
        ('columns = ["gyro", "acc"]', "", "columns: not acceptable; got nothing"),
        ("window = 5", 'window = "5"', "window: not acceptable; got '5', expected a whole number"),
        ("window = 5", "windows = 5", "unknown key; got 'windows'"),
        ("window = 5", "window = 1", "window and hop: not acceptable; got (1, 2)"),
        ("window = 5", "window = 25", "no windows; got 3 recordings shorter than a window of 25"),
        ('test_groups = ["eve"]', 'test_groups = ["zoe"]', "no such group; got zoe, expected some"),
        ('["eve"]', '["eve", "bob", "ann"]', "no group is left to train on"),
        ('group = "who"', 'group_of_file = "u"', "no expression that finds a group; got 'u': 0 gr"),
        ('group = "who"', 'group_of_file = "(d)"', "does not fit the name of a file; got a.csv"),
        ("hop = 2", 'hop = 2\nclasses = ["run", "swim"]', "classes without windows; got swim"),
        ("hop = 2", 'hop = 2\nclasses = ["run"]', "only one class; got run"),
        ("hop = 2", "hop = 2\nagree = 2.0", "agree: not acceptable; got 2.0"),
        ("hop = 2", 'hop = 2\nfiles = "*.tsv"', "files: not acceptable; got *.tsv"),
        ("hop = 2", 'hop = 2\nnames = ["a"]', "names: not acceptable; got 1"),
        ("hop = 2", "hop", "not a TOML file"),
    ],
)
def test_a_wrong_description_is_named(old: str, new: str, named: str, tmp_path: Path) -> None:
    assert old in TOML
    with pytest.raises(UserError, match=re.escape(named)):
        datasets.load("windows", folder(tmp_path, TOML.replace(old, new)))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (
            recording(9, "ann").replace(b"3,-30", b"x,-30"),
            "e.csv, row 5, column acc: cannot be read",
        ),
        (
            recording(9, "ann").replace(b"3,-30", b"nan,-30"),
            "not a finite number; got nan at [3, 1]",
        ),
        (recording(9, "ann") + b"\n1,2", "row 11: cannot be read; got 2 cells, expected 5"),
        (b"", "an empty file"),
        (b"\xff\xfe", "text in UTF-8"),
        (b"acc,acc,gyro,who,what\n", "two columns of one name; got acc"),
    ],
)
def test_a_broken_recording_is_named(content: bytes, named: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(named)):
        datasets.load("windows", folder(tmp_path, more={"e.csv": content}))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"windows\.toml: nothing says what the recordings hold"):
        datasets.load("windows", write_directory({"a.csv": b"a,b"}, tmp_path / "none"))
    toml = TOML.replace('test_groups = ["eve"]', 'classes = ["walk", "run", "swim"]')
    swim = recording(9, "eve", what="swim")
    lines = toml + 'test_groups = ["eve"]\n'
    with pytest.raises(UserError, match="classes without training windows; got swim"):
        datasets.load("windows", folder(tmp_path / "swim", lines, {"e.csv": swim}))
    with pytest.raises(UserError, match=r"--test-share: .* names the test groups"):
        datasets.load("windows", folder(tmp_path / "share"), None, 0.3)
    with pytest.raises(UserError, match="--resize: windows are as long"):
        datasets.load("windows", folder(tmp_path / "resize"), (3, 3))


def test_one_number_written_in_two_ways_is_no_two_classes(tmp_path: Path) -> None:
    files = {"b.csv": recording(24, "bob", what="1"), "d.csv": recording(24, "ann", what="1.0")}
    with pytest.raises(UserError, match=r"two classes; got 1 and 1\.0 in the column what"):
        datasets.load("windows", folder(tmp_path, more=files))


def test_numbers_that_floats_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    files = {"d.csv": recording(24, "ann", 1_700_000_000_000)}
    apart = datasets.load("windows", folder(tmp_path / "1", more=files))
    assert apart.train.images.dtype == np.float32  # other recordings are far from these
    alike = {name: recording(24, who, 1_700_000_000_000) for name, who in
             (("a.csv", "ann"), ("deep/b.csv", "bob"), ("c.csv", "eve"))}  # fmt: skip
    with pytest.raises(UserError, match=r"channel 1: numbers too large.*rounded by"):
        datasets.load("windows", folder(tmp_path / "2", more=alike))
