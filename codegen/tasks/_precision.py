"""Average precision of boxes, as COCO defines it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.tasks._boxes import LOGIT, PIXEL, IntArray

_ALL_AREAS, _MOST_BOXES = 0, -1
"""Which of COCO's sizes of boxes and numbers of boxes an image are meant: all of both."""


@dataclass(frozen=True)
class Precision:
    """How good the boxes of a set of images are, 0..1; None of a class without a box in it."""

    ap50: tuple[float | None, ...]
    """Of each class, boxes being right from half an overlap on."""
    ap: tuple[float | None, ...]
    """The same, the mean over overlaps of 0.5, 0.55, ... 0.95."""

    @property
    def map50(self) -> float:
        """Return the mean of :attr:`ap50` over the classes with boxes."""
        return _mean(self.ap50)

    @property
    def map50_95(self) -> float:
        """Return the mean of :attr:`ap` over the classes with boxes."""
        return _mean(self.ap)


def precision(found: Sequence[IntArray], targets: NDArray[np.float32], classes: int) -> Precision:
    """Return the average precision of boxes.

    Args:
        found: of each image (boxes, 6), as :mod:`codegen.tasks._boxes` has them.
        targets: (n, boxes, 5): class, left, top, right, bottom in pixels; class -1 in unused rows,
            -2 - class of boxes that need not be found: what lies in one counts neither way, as in
            COCO's crowds.
        classes: how many there are.
    """
    from faster_coco_eval import COCO, COCOeval_faster  # slow to import

    images, index = np.nonzero(targets[..., 0] != -1)
    rows = targets[images, index].astype(np.float64)
    aside = rows[:, 0] < 0
    rows[aside, 0] = -2 - rows[aside, 0]
    sides = rows[:, 3:] - rows[:, 1:3]
    annotations = [
        {
            "id": number + 1,
            "image_id": int(image),
            "category_id": int(row[0]),
            "bbox": [*row[1:3], *side],
            "area": float(side.prod()),
            "iscrowd": int(is_aside),
        }
        for number, (image, row, side, is_aside) in enumerate(
            zip(images, rows, sides, aside, strict=True)
        )
    ]
    table: dict[str, Any] = {
        "images": [{"id": image, "width": 1, "height": 1} for image in range(len(targets))],
        "categories": [{"id": number, "name": str(number)} for number in range(classes)],
        "annotations": annotations,
    }
    said = _as_coco(found)
    if not len(said) or aside.all():
        there = {entry["category_id"] for entry in annotations if not entry["iscrowd"]}
        nothing = tuple(0.0 if number in there else None for number in range(classes))
        return Precision(nothing, nothing)
    truth = COCO(table, print_function=_silent)
    evaluation = COCOeval_faster(truth, truth.loadRes(said), "bbox", print_function=_silent)
    evaluation.evaluate()
    evaluation.accumulate()
    # overlaps, recalls, classes, areas, numbers of boxes
    values = evaluation.eval["precision"][:, :, :, _ALL_AREAS, _MOST_BOXES]
    return Precision(
        tuple(_of_class(values[:1, :, number]) for number in range(classes)),
        tuple(_of_class(values[:, :, number]) for number in range(classes)),
    )


def _as_coco(found: Sequence[IntArray]) -> NDArray[np.float64]:
    """Return boxes as rows: image, left, top, width, height, score, class."""
    counts = [len(boxes) for boxes in found]
    boxes = np.concatenate(found).astype(np.float64)
    edges = boxes[:, 2:] / PIXEL
    score = 1 / (1 + np.exp(-boxes[:, 1] / LOGIT))
    image = np.repeat(np.arange(len(found)), counts)
    columns = [image, *edges[:, :2].T, *(edges[:, 2:] - edges[:, :2]).T, score, boxes[:, 0]]
    return np.stack(columns, axis=1)


def _of_class(values: NDArray[np.float64]) -> float | None:
    """Return the mean precision of one class; None where it has no box to find."""
    return float(values.mean()) if (values > -1).all() else None


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 0.0


def _silent(*text: object) -> None:
    """Take what the evaluation would print."""
