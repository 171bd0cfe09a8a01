"""Objects as peaks of a coarse map of classes, as ``nn_peaks`` finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import Graph, Uint8Array
from codegen.tasks._task import (
    Answer,
    Frame,
    Outcome,
    Targets,
    Task,
    flat,
    names_of,
    real_values,
    share,
)

Peaks = NDArray[np.int64]
"""(n, 4): row, column, score, label; row by row."""
_MOST_CHANNELS = 256
_COLOURS = ((230, 60, 60), (60, 160, 240), (250, 200, 40), (70, 200, 90), (190, 90, 220))


@dataclass(frozen=True, eq=False)
class PeakAnswer(Answer):
    """Which objects one level finds."""

    peaks: Peaks


class HeatMap(Task):
    """One output: a map with the background as channel 0 and a channel for each class."""

    fitting = "one map of 2..256 channels, with a setting 'threshold' of 1..255"
    keeps_proportions = True
    metric = "centroid F1"
    firmware = ("nn_peaks",)

    def fits(self, graph: Graph) -> bool:
        """Return whether the only output is such a map, of an input that it divides evenly."""
        if not graph.is_one_to_one or not 2 <= graph.only_output.shape[2] <= _MOST_CHANNELS:
            return False
        (height, width, _), (rows, columns, _) = graph.only_input.shape, graph.only_output.shape
        return height % rows == 0 and width % columns == 0 and 1 <= threshold(graph) <= 255

    def constants(self, graph: Graph) -> Mapping[str, Any]:
        """Return the numbers of nn_heat_map, and what a program has to know beside them."""
        height, width, channels = graph.only_output.shape
        cell = cell_of(graph)
        return {
            "height": height,
            "width": width,
            "channels": channels,
            "threshold": threshold(graph),
            "cell_height": cell[0],
            "cell_width": cell[1],
            "most": _most_of(graph),
        }

    def ram_bytes(self, graph: Graph) -> Mapping[str, int]:
        """Return the bytes of all peaks, at most."""
        return {"peaks": 8 * _most_of(graph)}

    def answer(self, outcome: Outcome) -> PeakAnswer:
        """Return the objects of one sample."""
        (found,) = peaks(outcome)
        names = _names(outcome.graph)
        real = real_values(outcome.graph, outcome.level, outcome.outputs)
        counts = np.bincount(found[:, 3], minlength=len(names))
        there = [f"{count} {name}" for name, count in zip(names, counts, strict=True) if count]
        text = ", ".join(there) or "no object"
        return PeakAnswer(outcome.level, flat(outcome.outputs), real, text, found)

    def as_json(self, graph: Graph, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        """Return per level the objects, their centres in pixels of the input."""
        cell, names = cell_of(graph), _names(graph)
        return [
            {
                "level": answer.index,
                "sparsity": graph.levels[answer.index].sparsity,
                "objects": [
                    {
                        "class": names[label],
                        "y": (row + 0.5) * cell[0],
                        "x": (column + 0.5) * cell[1],
                        "score": score * graph.only_output.scale[answer.index],
                    }
                    for row, column, score, label in answer.peaks.tolist()
                ],
            }
            for answer in answers
            if isinstance(answer, PeakAnswer)
        ]

    def on_photo(self, levels: list[dict[str, Any]], frame: Frame) -> list[dict[str, Any]]:
        """Return the centres in pixels of the photo."""

        def moved(each: dict[str, Any]) -> dict[str, Any]:
            x, y = frame.place(each["x"], each["y"])
            return {**each, "y": y, "x": x}

        return [{**level, "objects": list(map(moved, level["objects"]))} for level in levels]

    def picture(self, graph: Graph, pixels: Uint8Array, answer: Answer) -> Uint8Array | None:
        """Return the image with a square frame around the cell of every object."""
        if not isinstance(answer, PeakAnswer):
            return None
        drawn = np.array(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
        height, width = cell_of(graph)
        for row, column, _, label in answer.peaks.tolist():
            box = drawn[row * height : (row + 1) * height, column * width : (column + 1) * width]
            colour = _COLOURS[label % len(_COLOURS)]
            box[[0, -1], :] = colour
            box[:, [0, -1]] = colour
        return drawn

    def recorded(self, outcome: Outcome) -> NDArray[Any]:
        """Return how many peaks every sample has, and the first of them; zeros follow."""
        room = _most_of(outcome.graph)
        found = peaks(outcome)
        rows = np.zeros((len(found), 1 + 4 * room), np.int32)
        for row, objects in zip(rows, found, strict=True):
            kept = objects[:room].reshape(-1)
            row[0], row[1 : 1 + len(kept)] = len(objects), kept
        return rows

    def found(self, answers: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which samples have a peak."""
        found: NDArray[np.bool_] = answers[:, 0] > 0
        return found

    def score(self, outcome: Outcome, targets: Targets) -> float:
        """Return the mean F1 of the classes that some target has, an object in the right cell or
        beside it being right."""
        right, said, truth = matched(peaks(outcome), targets, outcome.graph)
        known = truth > 0
        f1 = 2 * right / np.maximum(said + truth, 1)
        return float(f1[known].mean()) if known.any() else 0.0

    def details(self, outcome: Outcome, targets: Targets | None) -> Mapping[str, Any]:
        """Return precision, recall and F1 of every class; None where there is nothing of it."""
        if targets is None:
            return {"rows": None}
        right, said, truth = matched(peaks(outcome), targets, outcome.graph)
        return {
            "rows": [
                {
                    "class": name,
                    "objects": int(truth[index]),
                    "precision": share(right[index], said[index]),
                    "recall": share(right[index], truth[index]),
                    "f1": share(2 * right[index], said[index] + truth[index]),
                }
                for index, name in enumerate(_names(outcome.graph))
            ]
        }


def threshold(graph: Graph) -> int:
    """Return the least score of a peak; 0 where none is set."""
    numbers = () if graph.task is None else graph.task.numbers("threshold")
    return int(numbers[0]) if len(numbers) == 1 and numbers[0].is_integer() else 0


def cell_of(graph: Graph) -> tuple[int, int]:
    """Return height and width of a cell of the map, in pixels of the input."""
    (height, width, _), (rows, columns, _) = graph.only_input.shape, graph.only_output.shape
    return height // rows, width // columns


def most_peaks(height: int, width: int, classes: int) -> int:
    """Return how many objects a map of ``height`` and ``width`` can have at most: in each square of
    2x2 cells, which all are neighbours, one of a class."""
    squares = ((height // 2) * (width // 2), 4), ((height // 2) * (width % 2), 2)
    edges = ((height % 2) * (width // 2), 2), ((height % 2) * (width % 2), 1)
    return sum(count * min(cells, classes) for count, cells in (*squares, *edges))


def _most_of(graph: Graph) -> int:
    """Return :func:`most_peaks` of a network."""
    height, width, channels = graph.only_output.shape
    return most_peaks(height, width, channels - 1)


def peaks(outcome: Outcome) -> list[Peaks]:
    """Return the objects of every sample."""
    values = outcome.outputs[0].astype(np.int64)
    channel = values.argmax(axis=3)
    score = np.take_along_axis(values, channel[..., None], axis=3)[..., 0] - values[..., 0]
    size = channel.shape[1:]
    outside = ((0, 0), (1, 1), (1, 1))
    channels, scores = np.pad(channel, outside), np.pad(score, outside)
    highest = (channel > 0) & (score >= threshold(outcome.graph))
    for y in (0, 1, 2):
        for x in (0, 1, 2):
            if (y, x) == (1, 1):
                continue
            near = (slice(None), slice(y, y + size[0]), slice(x, x + size[1]))
            is_earlier = (y, x) < (1, 1)
            above = scores[near] >= score if is_earlier else scores[near] > score
            highest &= ~((channels[near] == channel) & above)
    found = []
    for sample in range(len(values)):
        rows, columns = np.nonzero(highest[sample])
        numbers = (rows, columns, score[sample, rows, columns], channel[sample, rows, columns] - 1)
        found.append(np.stack(numbers, axis=1))
    return found


def matched(
    found: Sequence[Peaks], targets: Targets, graph: Graph
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return for each class how many objects are rightly found, found at all, and there.

    ``targets`` (n, K, 5) are boxes: class or -1, x1, y1, x2, y2 in pixels. Peaks take, the highest
    first, the nearest object of their class that no other took, in their cell or next to it. Those
    left whose cell's middle lies in a box that need not be found, of class -2 - class, count not.
    """
    classes = len(_names(graph))
    cell = cell_of(graph)
    right, said, truth = np.zeros((3, classes), np.int64)
    for peaks_of, boxes in zip(found, targets, strict=True):
        boxes, aside = boxes[boxes[:, 0] >= 0], boxes[boxes[:, 0] < -1]
        labels = boxes[:, 0].astype(np.int64)
        rows = (boxes[:, 2] + boxes[:, 4]) / 2 // cell[0]
        columns = (boxes[:, 1] + boxes[:, 3]) / 2 // cell[1]
        truth += np.bincount(labels, minlength=classes)
        free = np.ones(len(boxes), bool)
        for row, column, _, label in peaks_of[np.argsort(-peaks_of[:, 2], kind="stable")]:
            away = np.maximum(np.abs(rows - row), np.abs(columns - column))
            good = np.flatnonzero(free & (labels == label) & (away <= 1))
            if len(good):
                free[good[away[good].argmin()]] = False
                right[label] += 1
            y, x = (row + 0.5) * cell[0], (column + 0.5) * cell[1]
            _, left, top, right_edge, bottom = aside.T
            within = (left < x) & (x < right_edge) & (top < y) & (y < bottom)
            said[label] += len(good) > 0 or not within.any()
    return right, said, truth


def _names(graph: Graph) -> tuple[str, ...]:
    return names_of(graph, graph.only_output.shape[2] - 1)


TASK = HeatMap()
