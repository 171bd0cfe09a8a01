"""Tasks are found by their folder, chosen by the configuration, and agree with their twins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import nestnet
from codegen import tasks as twins
from codegen.errors import UserError
from codegen.tasks import Outcome
from nestnet import config, datasets, tasks
from nestnet.config import TrainConfig
from nestnet.tasks._task import Result
from tests.support.own_data import good
from tests.support.projects import small_graph


def test_a_wrong_task_is_refused_with_the_list_before_a_folder_is_made(tmp_path: Path) -> None:
    listed = " | ".join(tasks.names())
    with pytest.raises(UserError) as caught:
        nestnet.train(task="classificaton", out=tmp_path / "runs", quiet=True)
    assert str(caught.value) == (
        f"config key 'task': no such task; got 'classificaton', expected {listed}. "
        "Did you mean 'classification'?"
    )
    assert not (tmp_path / "runs").exists()


def test_a_configuration_from_before_tasks_classifies() -> None:
    text = config.to_toml(TrainConfig())
    line = 'task = "auto"\n'
    assert line in text
    assert config.from_toml(text.replace(line, ""), "old").task == "auto"
    assert datasets.load("digits").task == "classification"


def test_answers_and_scores_are_those_of_the_twin() -> None:
    """Of equal outputs the first wins, in both."""
    outputs = np.random.default_rng(3).integers(-3, 4, (101, 7)).astype(np.int8)
    labels = np.random.default_rng(4).integers(0, 7, 101)
    task, twin = tasks.of("classification"), twins.TASKS["classification"]
    answers = task.answers(torch.from_numpy(outputs), torch.zeros(101, 1, 1, 1))
    assert answers.tolist() == [int(row.argmax()) for row in outputs]
    outcome = Outcome(small_graph(), 0, (), (outputs[:, None, None],))
    assert task.score(answers, torch.from_numpy(labels)) == twin.score(outcome, labels)
    assert twin.details(outcome, None) == {"confusion": None, "macro_f1": None}
    named = replace(good(), class_names=tuple("abcdefg"))
    report = task.report(Result(0, 0.0, 0.0, 0.0), answers, torch.from_numpy(labels), named)
    assert report.macro_f1 == pytest.approx(twin.details(outcome, labels)["macro_f1"])


def test_data_for_another_task_is_refused_before_a_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = replace(datasets.load("digits"), task="counting")
    monkeypatch.setattr(datasets, "of", lambda *_: digits)
    with pytest.raises(UserError, match=r"^--task: .*not for this task; got classification, exp"):
        nestnet.train(task="classification", out=tmp_path / "runs", quiet=True)
    with pytest.raises(UserError, match=r"no such task; got 'counting'"):
        nestnet.train(out=tmp_path / "runs", quiet=True)
    assert not (tmp_path / "runs").exists()
