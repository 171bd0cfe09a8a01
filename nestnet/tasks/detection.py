"""Detection: boxes with a class; the score is the mean average precision.

A device answers with ``nn_detect``; its NumPy twin is ``codegen/tasks/detection.py``. Scores are
those of boxes that went through the same decoder, in the same fixed point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from codegen.errors import UserError
from codegen.graph.ir import Graph, Meaning
from codegen.tasks._boxes import LOGIT, PIXEL, SCALES, IntArray, edges_of, suppressed
from codegen.tasks._precision import precision
from codegen.tasks.detection import MIN_SCORE, OVERLAP_PERCENT
from nestnet.config import TrainConfig
from nestnet.datasets import Dataset, Split, broken
from nestnet.net.stages import Bound
from nestnet.net.tensors import Shapes
from nestnet.pixels import Pixels
from nestnet.tasks._anchors import PROPORTIONS, anchors_of
from nestnet.tasks._assignment import assign, followed, joined, loss_of, maps_of, spread
from nestnet.tasks._moved import UNUSED, moved
from nestnet.tasks._targets import check_form, check_named, splits
from nestnet.tasks._task import Answers, Result, Task

LEAST = float(1 / (1 + np.exp(-MIN_SCORE / LOGIT)))
"""Probability from which on boxes are measured."""


@dataclass(frozen=True)
class LevelPrecision:
    """How good one level's boxes are on the test images, 0..1."""

    level: int
    sparsity: float
    """Achieved, over all prunable weights."""
    map50_float: float
    """Mean over the classes of the average precision from half an overlap on, of the final weights
    without quantization."""
    map50_quantized: float
    """The same of the fake-quantized network."""
    map50_95_quantized: float
    """The mean over overlaps of 0.5, 0.55, ... 0.95."""
    ap50_of: Mapping[str, float | None]
    """Of every class; None without a box of it in the test images."""
    score_threshold: float
    """Probability below which boxes are not counted."""


class Detection(Task):
    """Targets are float32 (n, most boxes, 5): class, left, top, right, bottom in pixels of the
    image, class -1 in unused rows, -2 - class of boxes that need not be found."""

    metric = f"mAP50 (boxes from a score of {LEAST:.2f} on)"
    model = "det_mobilenetv1"

    def defaults(self, given: TrainConfig) -> Mapping[str, Any]:
        """Return the recipe: AdamW, a short warm-up, averaged weights; a nested network is averaged
        over fewer steps, for its masks move, and prunes at once where it starts from a trained one.
        int8 comes after the training, which costs next to nothing here."""
        is_dense = given.is_dense
        nested = (0.0, 0.35, 0.65, 0.0) if given.init_from else (0.4, 0.2, 0.4, 0.0)
        return {
            "optimizer": "adamw",
            "lr": 8e-3 if is_dense else 5e-3,
            "weight_decay": 0.02,
            "warmup": 0.04,
            "lr_end": 0.02,
            "lr_quantized": 1e-4,
            "clip": 10.0,
            "ema": 0.998 if is_dense else 0.99,
            "batch": 24,
            "distill_weight": 1.0,
            "split": (1.0, 0.0, 0.0, 0.0) if is_dense else nested,
        }

    def check_data(self, data: Dataset) -> None:
        """Refuse targets that are not rows of a class and a box within the image."""
        classes = check_named(data)
        check_form(data, np.float32, "(n, boxes, 5)", lambda t: t.ndim == 3 and t.shape[2] == 5)
        height, width, _ = data.input_shape
        for where, split in splits(data):
            rows = split.targets[split.targets[..., 0] != UNUSED]
            rows[:, 0] = np.where(rows[:, 0] < UNUSED, -2 - rows[:, 0], rows[:, 0])
            whole = (rows[:, 0] == rows[:, 0].round()) & (rows[:, 0] >= 0) & (rows[:, 0] < classes)
            inside = (rows[:, 1:3] >= 0).all(1) & (rows[:, 3:] <= (width, height)).all(1)
            wrong = rows[~(whole & inside & (rows[:, 1:3] < rows[:, 3:]).all(1))]
            if len(wrong):
                expected = f"class 0..{classes - 1} and a box within {width}x{height}"
                raise broken(data, f"{where} hold a row that is no box", str(wrong[0]), expected)
        if not (data.train.targets[..., 0] >= 0).any():
            raise broken(data, "train.targets hold no box", "0 boxes", "boxes to train on")

    def outputs(self, data: Dataset) -> int:
        """Return the number of classes."""
        return len(data.class_names)

    def names(self, data: Dataset) -> tuple[str, ...]:
        """Return the class names."""
        return data.class_names

    def meanings(self, shapes: Shapes) -> tuple[Meaning, ...]:
        """Return class scores and boxes in turn."""
        pair: tuple[Meaning, ...] = ("class_scores", "boxes")
        return pair * (len(shapes) // 2)

    def check_outputs(self, model: str, shapes: Shapes, data: Dataset) -> None:
        """Refuse a network whose outputs are not class scores and boxes of some scales."""
        classes = len(data.class_names)
        height, width, _ = data.input_shape
        fits = len(shapes) in range(2, 2 * SCALES + 1, 2)
        for scores, boxes in zip(shapes[::2], shapes[1::2], strict=False):
            h, w, values = boxes
            anchors, rest = divmod(values, 4)
            fits &= not rest and 1 <= anchors <= len(PROPORTIONS)
            fits &= scores == (h, w, anchors * classes) and h <= height and w <= width
        if not fits:
            raise UserError(
                model,
                "the model's outputs are not those of a detector",
                got=", ".join("x".join(map(str, shape)) for shape in shapes),
                expected=f"HxWx{classes} (a score per class) and HxWx4 (distances to the four "
                f"edges) for each of 1..{SCALES} scales, the finest first, or a multiple of both "
                f"for 2..{len(PROPORTIONS)} anchors per cell",
                action="Choose a model whose name begins with det_ or ssdlite_, or return these "
                "maps",
            )

    def check_ends(self, model: str, bounds: Sequence[Sequence[Bound | None]]) -> None:
        """Refuse class scores that are no logits; distances may be bounded."""
        super().check_ends(model, bounds[::2])

    def oddities(self, data: Dataset) -> tuple[str, ...]:
        """Return what is odd about the boxes and their numbers."""
        found = []
        labels = data.train.targets[..., 0]
        counts = np.bincount(labels[labels >= 0].astype(np.int64), minlength=self.outputs(data))
        rare = [name for name, count in zip(data.class_names, counts, strict=True) if count < 20]
        if rare:
            found.append(f"fewer than 20 boxes to train on of: {', '.join(rare)}")
        tested = data.test.targets[..., 0]
        missing = [n for k, n in enumerate(data.class_names) if not (tested == k).any()]
        if missing:
            found.append(f"no test image has a box of: {', '.join(missing)}")
        return tuple(found)

    def settings(
        self, graph: Graph, trained: Callable[[int], Answers] | None
    ) -> Mapping[str, Sequence[float]]:
        """Return the score from which on boxes are measured, the overlap of which one is dropped,
        and where a cell has several, the anchors: half their width and height in 1/PIXEL pixel."""
        found = {"min_score": (MIN_SCORE,), "overlap_percent": (OVERLAP_PERCENT,)}
        maps = [graph.value(name).shape for name in graph.outputs[1::2]]
        shapes = [(height, width, values // 4) for height, width, values in maps]
        if all(count == 1 for _, _, count in shapes):
            return found
        height, width, _ = graph.only_input.shape
        anchors = anchors_of(shapes, (height, width))
        return {**found, "anchors": [half for own in anchors for pair in own for half in pair]}

    def targets(self, split: Split) -> Tensor:
        """Return the boxes, float32 (n, most boxes, 5)."""
        return torch.from_numpy(split.targets)

    def augment(
        self, pixels: Tensor, targets: Tensor, generator: torch.Generator, how: str, seen: Pixels
    ) -> tuple[Tensor, Tensor]:
        """Return images and boxes moved, scaled, flipped and lit at random."""
        if how == "none":
            return pixels, targets
        mirror, turn = how != "crop", how == "flips"
        return moved(pixels, targets, generator, seen, mirror=mirror, turn=turn)

    def loss(
        self, outputs: Sequence[Any], targets: Tensor, images: Tensor, config: TrainConfig
    ) -> Tensor:
        """Return the levels' summed loss: the densest one says which anchors answer for which box,
        and the others follow its class scores."""
        levels = [maps_of(level) for level in outputs]
        anchors = spread(levels[0], (images.shape[2], images.shape[3]))
        teacher = joined(levels[0])
        wanted = assign(teacher, anchors, targets)
        total = loss_of(teacher, anchors, wanted)
        for maps in levels[1:]:
            own = joined(maps)
            total = total + loss_of(own, anchors, wanted)
            total = total + config.distill_weight * followed(own, teacher, wanted)
        return total

    def answers(self, outputs: Any, images: Tensor) -> list[IntArray]:
        """Return the boxes of every image, as a device finds them."""
        size = (images.shape[2], images.shape[3])
        maps = maps_of(outputs)
        said, anchors = joined(maps), spread(maps, size)
        shapes = [(each.shape[2], each.shape[3], each.shape[1] // 4) for each in maps[1::2]]
        best, label = said.logits.max(-1)
        score = torch.floor(best * LOGIT + 0.5).clamp(-(2**15), 2**15 - 1)
        scores = score.long().cpu().numpy()
        units = PIXEL * anchors.units.repeat(1, 2)
        sides = torch.floor(said.distances * units + 0.5).long().cpu().numpy()
        labels = label.cpu().numpy()
        return [
            suppressed(
                scores[i],
                labels[i],
                edges_of(size, shapes, sides[i]),
                MIN_SCORE,
                OVERLAP_PERCENT,
            )
            for i in range(len(images))
        ]

    def score(self, answers: list[IntArray], targets: Tensor) -> float:
        """Return the mean average precision from half an overlap on."""
        return precision(answers, targets.cpu().numpy(), _classes(answers, targets)).map50

    def report(
        self, reached: Result, answers: list[IntArray], targets: Tensor, data: Dataset
    ) -> LevelPrecision:
        """Return a level's precisions, also of every class."""
        found = precision(answers, targets.cpu().numpy(), len(data.class_names))
        return LevelPrecision(
            reached.level,
            reached.sparsity,
            reached.score_float,
            reached.score_quantized,
            found.map50_95,
            dict(zip(data.class_names, found.ap50, strict=True)),
            LEAST,
        )


def _classes(answers: Sequence[IntArray], targets: Tensor) -> int:
    """Return how many classes answers and targets speak of, at least one."""
    said = max((int(boxes[:, 0].max()) for boxes in answers if len(boxes)), default=0)
    return 1 + max(said, int(targets[..., 0].max()), 0)


TASK = Detection()
