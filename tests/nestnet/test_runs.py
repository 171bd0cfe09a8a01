"""Run folders: names, the newest run, and errors that list what there is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codegen.errors import UserError
from nestnet import config, runs
from nestnet.config import TrainConfig
from nestnet.exporting.model_file import c_identifier


def test_names_count_up_and_hold_no_path(tmp_path: Path) -> None:
    own = TrainConfig(model="some/where/my net.py:make")
    created = [runs.create(own, tmp_path), runs.create(own, tmp_path)]
    assert [run.name for run in created] == ["my-net-digits-1", "my-net-digits-2"]
    assert config.load(created[1] / runs.CONFIG) == own


def test_runs_on_folders_are_called_as_their_data(tmp_path: Path) -> None:
    """Two projects' networks may end up in one program, where their names must differ."""
    names = [
        runs.create(TrainConfig(dataset="folder", data=data), tmp_path).name
        for data in ("kws/words.tar.gz", "vww/persons", "", "p" * 90)
    ]
    ends = ("-words-1", "-persons-1", "-1", f"-{'p' * 16}-1")
    assert names == [f"net-folder{end}" for end in ends]


def test_a_name_in_use_is_a_user_error(tmp_path: Path) -> None:
    runs.create(TrainConfig(name="mine"), tmp_path)
    with pytest.raises(UserError, match=r"exists already.*--resume"):
        runs.create(TrainConfig(name="mine"), tmp_path)


def test_a_root_that_is_a_file_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for root, what in (("file", "--out is a file"), ("file/x/y", "--out lies below a file")):
        with pytest.raises(UserError, match=rf"{what}; got the file .*file, .*another --out"):
            runs.create(TrainConfig(name="mine"), tmp_path / root)


def test_weights_are_those_of_a_run_by_path_or_name_or_a_checkpoint(tmp_path: Path) -> None:
    run = runs.create(TrainConfig(name="first"), tmp_path)
    with pytest.raises(UserError, match=r"no weights yet.*nestnet train --resume"):
        runs.weights("first", tmp_path)
    file = run / runs.CHECKPOINT
    file.write_text("")
    for name in ("first", str(run), str(file)):
        assert runs.weights(name, tmp_path) == file
    with pytest.raises(UserError, match=r"--init-from: no such run.*Did you mean 'first'"):
        runs.weights("frist", tmp_path)


def test_newest_is_by_start_and_may_ask_for_finished_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nestnet train"):
        runs.newest(tmp_path)
    for age, name in enumerate(["c", "a", "b"]):
        run = runs.create(TrainConfig(name=name), tmp_path)
        os.utime(run / runs.CONFIG, (1000 + age, 1000 + age))
    (tmp_path / "a" / runs.MODEL).write_text("")
    assert runs.newest(tmp_path).name == "a"
    assert runs.newest(tmp_path, finished=False).name == "b"
    (tmp_path / "a" / runs.MODEL).unlink()
    with pytest.raises(UserError, match="no finished run"):
        runs.newest(tmp_path)


def test_find_takes_a_path_or_a_name_and_suggests(tmp_path: Path) -> None:
    run = runs.create(TrainConfig(name="resnet8-first"), tmp_path)
    assert runs.find("resnet8-first", tmp_path) == run
    assert runs.find(str(run), tmp_path / "elsewhere") == run
    with pytest.raises(UserError, match="Did you mean 'resnet8-first'"):
        runs.find("resnet8-frist", tmp_path)
    with pytest.raises(UserError, match="no such run"):
        runs.find("x", tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my-Net 2", "my_net_2"),
        ("123", "net_123"),
        ("日本語", "net"),
        ("", "net"),
        ("--", "net"),
        ("__a__b__", "a_b"),
        ("x" * 300, "x" * 40),
        ("a" * 39 + "-b", "a" * 39),
    ],
)
def test_any_run_name_gives_a_c_identifier(name: str, expected: str) -> None:
    assert c_identifier(name) == expected
