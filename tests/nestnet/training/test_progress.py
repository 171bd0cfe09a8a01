"""What is printed of a run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from nestnet.cli.tables import console
from nestnet.config import TrainConfig
from nestnet.training.progress import show_results
from nestnet.training.session import Session


@pytest.mark.parametrize(
    ("epochs", "words"),
    [
        (20, "(before the quantization-aware epochs)"),
        (1, "(there were no quantization-aware epochs)"),
    ],
)
def test_results_say_whether_they_are_of_before_the_quantization_aware_epochs(
    epochs: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = TrainConfig(epochs=epochs)
    has = any(phase.name == "quantize" for phase in config.phases())
    assert has == words.startswith("(before")
    scores = [0.5] * config.levels
    session = SimpleNamespace(config=config, accuracy_float=scores, console=console(), budget=None)
    show_results(cast(Session, session), Path("run"), "wrote", scores)
    assert words in capsys.readouterr().out
