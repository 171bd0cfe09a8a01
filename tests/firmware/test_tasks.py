"""Answers in C are those of NumPy, bit for bit, for every task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codegen import tasks
from tests.support.firmware.decoders import Machine
from tests.support.firmware.tasks import NETWORKS, drawn, in_c, in_numpy


@pytest.mark.parametrize("machine", ["host", "mps2-an386"])
@pytest.mark.parametrize("name", NETWORKS)
def test_c_answers_as_numpy_does(name: str, machine: Machine, tmp_path: Path) -> None:
    outcome = drawn(NETWORKS[name](), 97)
    expected = in_numpy(outcome)
    assert len(np.unique(expected, axis=0)) > 1
    assert np.array_equal(in_c(outcome, tmp_path, machine), expected)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_of_the_task_its_file_names(name: str) -> None:
    graph = NETWORKS[name]()
    found = tasks.of(graph)
    assert found is not None and graph.task is not None and found.name == graph.task.name
