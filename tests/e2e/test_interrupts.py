"""A level chosen by an interrupt while a network runs; ``make interrupt`` is the long version."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import interrupts
from tests.support.projects import need_tools

RUNS = 400


@pytest.mark.parametrize("coding", interrupts.CODINGS)
def test_every_output_is_that_of_one_level(coding: str, tmp_path: Path) -> None:
    need_tools(interrupts.BOARD)
    outcome = interrupts.run(tmp_path, coding, RUNS)
    assert (outcome.runs, outcome.wrong, outcome.of_no_level) == (RUNS, 0, 0)
    assert outcome.changed > RUNS // 3, "too few interrupts to show anything"


@pytest.mark.parametrize("coding", interrupts.CODINGS)
def test_layers_that_read_the_chosen_level_are_noticed(coding: str, tmp_path: Path) -> None:
    """Without the copy that nn_run makes, outputs mix levels."""
    need_tools(interrupts.BOARD)

    def unlatched(model: str) -> str:
        assert "net->run_level" in model
        return model.replace("net->run_level", "net->level")

    outcome = interrupts.run(tmp_path, coding, RUNS, edit=unlatched)
    assert outcome.of_no_level > 0
