"""Detection: the answer is a list of boxes, as ``nn_detect`` returns them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import Graph, Int8Array, Uint8Array
from codegen.tasks._boxes import (
    CANDIDATES,
    COLUMNS,
    LOGIT,
    MOST,
    PIXEL,
    Decoder,
    Edge,
    IntArray,
    decoder,
)
from codegen.tasks._precision import precision
from codegen.tasks._task import Answer, Frame, Outcome, Targets, Task, flat, real_values

MIN_SCORE = -1176
"""Score from which on boxes are measured, unless a file says otherwise: a probability of 0.01."""
OVERLAP_PERCENT = 60
"""Overlap above which the lower-scored of two boxes of one class is dropped, likewise."""
_COLOURS = np.array(
    [(230, 60, 50), (40, 120, 230), (40, 170, 80), (240, 160, 30), (150, 70, 200), (30, 180, 190),
     (220, 90, 160), (120, 120, 120)], np.uint8,
)  # fmt: skip
"""Of boxes by class, again from the start after the last."""
SHOWN = 0.25
"""Probability from which on a box is drawn."""


@dataclass(frozen=True, eq=False)
class Boxes(Answer):
    """What one level finds in an image."""

    boxes: IntArray
    """(boxes, 6), the best first: class, score in 1/256, edges in sixteenths of a pixel."""


class Detection(Task):
    """Boxes with a class and a score; targets are boxes with a class."""

    fitting = "class_scores HxWx(A*CLASSES) and boxes HxWx(A*4) for each scale, the finest first"
    keeps_proportions = True
    metric = "mAP50"
    firmware = ("nn_detect",)

    def fits(self, graph: Graph) -> bool:
        """Return whether the outputs are class scores and boxes of some scales in turn."""
        meanings = [graph.value(name).meaning for name in graph.outputs]
        pairs = ["class_scores", "boxes"] * (len(meanings) // 2)
        return bool(pairs) and meanings == pairs and _decoder(graph) is not None

    def constants(self, graph: Graph) -> Mapping[str, Any] | None:
        """Return what nn_detection holds, and the score from which on boxes are measured."""
        made = _decoder(graph)
        assert made is not None, "the task fits"
        height, width = made.image
        return {
            "scales": [
                {
                    "height": scale.height,
                    "width": scale.width,
                    "logit": scale.logit,
                    "class_zero": scale.class_zero,
                    "box_zero": scale.box_zero,
                    "anchors": scale.anchors,
                }
                for scale in made.scales
            ],
            "percent": made.percent,
            "classes": made.classes,
            "right": PIXEL * width,
            "bottom": PIXEL * height,
            "min_score": _min_score(graph),
        }

    def ram_bytes(self, graph: Graph) -> Mapping[str, int]:
        """Return the bytes of scratch and of the boxes of an image, at most."""
        return {"scratch": 4 * CANDIDATES, "boxes": 12 * MOST}

    def answer(self, outcome: Outcome) -> Boxes:
        """Return the boxes in the only image of ``outcome``."""
        graph = outcome.graph
        (boxes,) = found_in(graph, outcome.outputs)
        names = graph.provenance.class_names
        real = real_values(graph, outcome.level, outcome.outputs)
        told = [f"{_name(names, int(row[0]))} {_share(row):.0%}" for row in boxes[:3]]
        text = f"{len(boxes)} box{'es' * (len(boxes) != 1)}" + (": " if told else "")
        return Boxes(outcome.level, flat(outcome.outputs), real, text + ", ".join(told), boxes)

    def as_json(self, graph: Graph, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        """Return plain data for a JSON file: per level the boxes, the best first."""
        names = graph.provenance.class_names
        return [
            {
                "level": answer.index,
                "sparsity": graph.levels[answer.index].sparsity,
                "boxes": [
                    {
                        "class": int(row[0]),
                        "name": names[row[0]] if names else "",
                        "share": round(_share(row), 6),
                        "box": [float(edge) / PIXEL for edge in row[2:]],
                    }
                    for row in answer.boxes
                ],
            }
            for answer in answers
            if isinstance(answer, Boxes)
        ]

    def on_photo(self, levels: list[dict[str, Any]], frame: Frame) -> list[dict[str, Any]]:
        """Return the boxes in pixels of the photo, as far as they lie in it."""

        def moved(box: dict[str, Any]) -> dict[str, Any]:
            edges = box["box"]
            return {**box, "box": [*frame.place(*edges[:2]), *frame.place(*edges[2:])]}

        return [{**level, "boxes": list(map(moved, level["boxes"]))} for level in levels]

    def picture(self, graph: Graph, pixels: Uint8Array, answer: Answer) -> Uint8Array | None:
        """Return ``pixels`` (h, w, 1 or 3) with the likely boxes drawn on them, (h, w, 3)."""
        assert isinstance(answer, Boxes)
        drawn = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels.copy()
        height, width = pixels.shape[:2]
        for row in answer.boxes[::-1]:  # the best one is drawn last
            if _share(row) < SHOWN:
                continue
            left, top, right, bottom = (row[2:] / PIXEL).round().astype(np.int64)
            right, bottom = min(right, width - 1), min(bottom, height - 1)
            colour = _COLOURS[row[0] % len(_COLOURS)]
            drawn[[top, bottom], left : right + 1] = colour
            drawn[top : bottom + 1, [left, right]] = colour
        return drawn

    def recorded(self, outcome: Outcome) -> NDArray[Any]:
        """Return how many boxes every image has, then their numbers; zeros follow."""
        found = found_in(outcome.graph, outcome.outputs)
        rows = np.zeros((len(found), 1 + MOST * COLUMNS), np.int16)
        for row, boxes in zip(rows, found, strict=True):
            row[0], row[1 : 1 + boxes.size] = len(boxes), boxes.reshape(-1)
        return rows

    def found(self, answers: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which images have a box."""
        found: NDArray[np.bool_] = answers[:, 0] > 0
        return found

    def score(self, outcome: Outcome, targets: Targets) -> float:
        """Return the mean average precision from half an overlap on."""
        found = found_in(outcome.graph, outcome.outputs)
        return precision(found, targets, _classes(outcome.graph)).map50

    def details(self, outcome: Outcome, targets: Targets | None) -> Mapping[str, Any]:
        """Return the precision of every class, and over stricter overlaps."""
        graph = outcome.graph
        found = found_in(graph, outcome.outputs)
        about = {
            "score_threshold": round(_probability(_min_score(graph) / LOGIT), 4),
            "boxes": sum(map(len, found)),
        }
        if targets is None:
            return {**about, "map50_95": None, "rows": None}
        reached = precision(found, targets, _classes(graph))
        names = graph.provenance.class_names
        rows = [
            {"class": _name(names, number), "AP50": ap50, "AP50-95": ap}
            for number, (ap50, ap) in enumerate(zip(reached.ap50, reached.ap, strict=True))
        ]
        return {**about, "map50_95": reached.map50_95, "rows": rows}


def found_in(graph: Graph, outputs: Sequence[Int8Array]) -> list[IntArray]:
    """Return the boxes of every image in ``outputs``, (n, h, w, c) each."""
    made = _decoder(graph)
    assert made is not None, "the task fits"
    least = _min_score(graph)
    return [made.decode([each[i] for each in outputs], least) for i in range(len(outputs[0]))]


def _decoder(graph: Graph) -> Decoder | None:
    """Return the decoder of ``graph``; None if it is no detector's."""
    if len(graph.inputs) != 1:
        return None
    values = map(graph.value, graph.outputs)
    edges = [Edge(value.shape, value.scale[0], value.zero_point) for value in values]
    height, width, _ = graph.only_input.shape
    numbers = () if graph.task is None else graph.task.numbers("anchors")
    if len(numbers) % 2:
        return None
    anchors = list(zip(numbers[::2], numbers[1::2], strict=True))
    percent = _number(graph, "overlap_percent", OVERLAP_PERCENT)
    return decoder((height, width), edges, percent, anchors)


def _min_score(graph: Graph) -> int:
    return min(max(_number(graph, "min_score", MIN_SCORE), -(2**15)), 2**15 - 1)


def _number(graph: Graph, name: str, default: int) -> int:
    """Return the setting ``name`` of the file; the default where it has none."""
    numbers = () if graph.task is None else graph.task.numbers(name)
    return round(numbers[0]) if numbers else default


def _classes(graph: Graph) -> int:
    made = _decoder(graph)
    assert made is not None, "the task fits"
    return made.classes


def _name(names: Sequence[str], number: int) -> str:
    return names[number] if names else f"class {number}"


def _share(row: IntArray) -> float:
    """Return the probability of a box."""
    return _probability(float(row[1]) / LOGIT)


def _probability(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


TASK = Detection()
