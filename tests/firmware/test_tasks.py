"""Answers in C are those of NumPy, bit for bit, for every task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codegen import tasks
from codegen.tasks import Outcome
from codegen.tasks.heat_map import most_peaks, peaks
from tests.support.firmware.decoders import Machine
from tests.support.firmware.tasks import NETWORKS, drawn, in_c, in_numpy, of_map, record


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


@pytest.mark.parametrize("classes", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (4, 7), (2, 6)])
def test_all_peaks_have_room(size: tuple[int, int], classes: int) -> None:
    """Of each class, one cell of every square of 2x2."""
    y, x = np.indices(size)
    kind = 2 * (y % 2) + x % 2
    channel = np.where(kind < classes, kind + 1, 0)
    graph = of_map(record("heat_map", threshold=(1.0,)), classes + 1)
    (found,) = peaks(Outcome(graph, 0, (), (np.eye(classes + 1, dtype=np.int8)[channel][None],)))
    assert len(found) == np.count_nonzero(channel)
    most = most_peaks(*size, classes)
    assert most == len(found) if classes != 2 else len(found) <= most
