"""Heat maps: what need not be found costs nothing, in training and where objects are counted."""

from __future__ import annotations

import numpy as np
import torch

from codegen.graph.ir import Graph
from codegen.tasks.heat_map import cell_of, matched
from nestnet import tasks
from nestnet.config import TrainConfig
from nestnet.tasks.heat_map import HeatMap, _matched
from tests.support.firmware.tasks import of_map, record

TASK = tasks.of("heat_map")
BOXES = [[0, 0, 0, 8, 8], [-2, 16, 0, 40, 16], [-1, 0, 0, 0, 0]]
"""Of images 16 high and 40 wide: an object, and a crowd in the right part."""


def test_cells_in_a_box_that_need_not_be_found_teach_nothing() -> None:
    assert isinstance(TASK, HeatMap)
    logits = torch.zeros(1, 3, 2, 5, requires_grad=True)
    targets, images = torch.tensor([BOXES]).float(), torch.zeros(1, 1, 16, 40)
    TASK.loss([logits], targets, images, TrainConfig()).backward()
    assert logits.grad is not None
    taught = (logits.grad[0] != 0).any(0)
    assert taught.tolist() == [[True, True, False, False, False]] * 2
    inside = targets.clone()
    inside[0, 0, 1:] = torch.tensor([24.0, 0, 32, 8])  # an object within the crowd is one
    logits.grad = None
    TASK.loss([logits], inside, images, TrainConfig()).backward()
    assert (logits.grad[0] != 0).any(0)[0].tolist() == [True, True, False, True, False]


def counted(graph: Graph, places: list[tuple[int, int]]) -> list[list[int]]:
    """Return right, said and there of class 0 by both twins for objects at these cells."""
    height, width = cell_of(graph)
    targets = np.array([BOXES], np.float32)
    targets[..., 1:] *= np.tile([width / 8, height / 8], 2)
    found = np.array([[row, column, 9, 0] for row, column in places]).reshape(-1, 4)
    device = matched([found], targets, graph)
    objects = [(row, column, 9.0, 0) for row, column in places]
    trained = _matched([(objects, (height, width))], torch.from_numpy(targets), 2)
    return [[int(part[0]) for part in twin] for twin in (device, trained)]


def test_objects_in_a_box_that_need_not_be_found_count_neither_way() -> None:
    graph = of_map(record("heat_map", threshold=(40.0,)), 3)
    assert counted(graph, [(0, 0), (1, 3), (0, 4)]) == [[1, 1, 1]] * 2
    assert counted(graph, [(0, 0), (2, 3), (1, 0)]) == [[1, 3, 1]] * 2
    assert counted(graph, [(0, 3)]) == [[0, 0, 1]] * 2
