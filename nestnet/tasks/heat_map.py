"""Where objects are: a coarse map of classes, whose peaks are their centres.

Much less than boxes, and much cheaper: channel 0 of the map is the background, every other one a
class. Data with boxes trains it, of which the centres count. A device answers with ``nn_peaks``;
its NumPy twin is ``codegen/tasks/heat_map.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from codegen.errors import UserError
from codegen.graph.ir import Graph, Meaning
from codegen.tasks._task import share
from nestnet.config import TrainConfig
from nestnet.datasets import Dataset, Split, broken
from nestnet.net.tensors import Shapes
from nestnet.pixels import Pixels
from nestnet.tasks._augment import lit
from nestnet.tasks._levels import of_levels, softmax_distance
from nestnet.tasks._targets import check_form, check_named, splits
from nestnet.tasks._task import Answers, Result, Task

_OBJECT_WEIGHT = 20.0
"""Of a cell with an object beside one of the background: there are few of them."""
_MARGIN = 1.0
"""Least logit of a class above the background's, from which on an object counts: odds of e."""
Found = list[tuple[int, int, float, int]]
"""Row, column, score, label of each object."""


@dataclass(frozen=True)
class LevelPeaks:
    """How well one level finds the objects of the test images, 0..1."""

    level: int
    sparsity: float
    """Achieved, over all prunable weights."""
    f1_float: float
    """Of the final weights, without quantization: the mean of the classes."""
    f1_quantized: float
    """Of the fake-quantized network, as is all below."""
    precision_of: Mapping[str, float | None]
    """Of every class; None where nothing was taken for it."""
    recall_of: Mapping[str, float | None]
    """Of every class; None without an object of it in the test images."""


class HeatMap(Task):
    """Targets are boxes, float32 (n, K, 5): class (-1: none, -2 - class: need not be found), x1,
    y1, x2, y2 in pixels."""

    metric = "centroid F1"
    model = "fomo"
    takes = ("detection",)

    def check_data(self, data: Dataset) -> None:
        """Refuse targets that are no boxes, or of classes without a name."""
        classes = check_named(data)
        check_form(data, np.float32, "(n, K, 5)", lambda boxes: boxes.shape[2:] == (5,))
        for where, split in splits(data):
            labels = split.targets[..., 0]
            bad = (labels < -1 - classes) | (labels >= classes) | (labels != np.floor(labels))
            if bad.any() or not np.isfinite(split.targets).all():
                raise broken(
                    data,
                    f"{where} hold classes without a name, or no numbers",
                    f"{int(bad.sum())} such classes",
                    f"-1 for no box, 0..{classes - 1}, or -2 less that; finite numbers",
                )

    def defaults(self, given: TrainConfig) -> Mapping[str, Any]:
        """Return what maps train well with."""
        return {"optimizer": "adamw", "lr": 3e-3, "batch": 32, "lr_quantized": 5e-4}

    def outputs(self, data: Dataset) -> int:
        """Return the number of classes and one for the background."""
        return len(data.class_names) + 1

    def names(self, data: Dataset) -> tuple[str, ...]:
        """Return the class names."""
        return data.class_names

    def meanings(self, shapes: Shapes) -> tuple[Meaning, ...]:
        """Return that the output is a map."""
        return ("map",)

    def check_outputs(self, model: str, shapes: Shapes, data: Dataset) -> None:
        """Refuse a network without one map of whole cells, with a channel per class and one for
        the background."""
        height, width, _ = data.input_shape
        channels = self.outputs(data)
        fits = len(shapes) == 1 and shapes[0][2] == channels
        if not fits or height % shapes[0][0] or width % shapes[0][1]:
            raise UserError(
                model,
                "the model's output is no map of the data set's classes",
                got=", ".join("x".join(map(str, shape)) for shape in shapes) + " in h, w, c",
                expected=f"height and width that divide {height}x{width}, {channels} channels: "
                f"the background, {', '.join(data.class_names)}",
                action="Change the model's last layer, or --resize",
            )

    def settings(
        self, graph: Graph, trained: Callable[[int], Answers] | None
    ) -> Mapping[str, Sequence[float]]:
        """Return the least score of an object in steps of the output."""
        steps = round(_MARGIN / graph.only_output.scale[0])
        return {"threshold": (min(max(steps, 1), 255),)}

    def targets(self, split: Split) -> Tensor:
        """Return the boxes, float32 (n, K, 5)."""
        return torch.from_numpy(split.targets)

    def augment(
        self, pixels: Tensor, targets: Tensor, generator: torch.Generator, how: str, seen: Pixels
    ) -> tuple[Tensor, Tensor]:
        """Return images and boxes, mirrored together where ``how`` says so, and in other light."""
        if how == "none":
            return pixels, targets
        boxes = targets
        height, width = pixels.shape[1:3]
        sides = {"crop": (), "flip-crop": (2,), "flips": (1, 2)}[how]
        for axis in sides:
            chosen = (torch.rand(len(pixels), generator=generator) < 0.5).to(pixels.device)
            pixels = torch.where(chosen[:, None, None, None], pixels.flip(axis), pixels)
            first, extent = (1, width) if axis == 2 else (2, height)
            mirrored = boxes.clone()
            mirrored[..., first] = extent - boxes[..., first + 2]
            mirrored[..., first + 2] = extent - boxes[..., first]
            boxes = torch.where(chosen[:, None, None], mirrored, boxes)
        return lit(pixels, generator), boxes

    def loss(
        self, outputs: Sequence[Tensor], targets: Tensor, images: Tensor, config: TrainConfig
    ) -> Tensor:
        """Return the levels' summed cross-entropy of every cell; the densest one teaches."""
        truth = self._cells(targets, outputs[0].shape[2:], images.shape[2:])
        weight = torch.where(truth > 0, _OBJECT_WEIGHT, 1.0)
        free = self._free(targets, outputs[0].shape[2:], images.shape[2:])
        weight = torch.where((truth == 0) & free, 0.0, weight)

        def hard(logits: Tensor) -> Tensor:
            crossed = F.cross_entropy(logits, truth, reduction="none")
            return (crossed * weight).sum() / weight.sum().clamp(min=1.0)

        return of_levels(outputs, hard, softmax_distance, config)

    def answers(self, outputs: Tensor, images: Tensor) -> list[tuple[Found, tuple[int, int]]]:
        """Return the objects of each image, with height and width of a cell in pixels."""
        outputs = outputs.float()
        channel = outputs.argmax(dim=1)
        score = outputs.gather(1, channel[:, None])[:, 0] - outputs[:, 0]
        highest = (channel > 0) & (score >= _MARGIN)
        rows, columns = channel.shape[1:]
        channels, scores = F.pad(channel, (1, 1, 1, 1)), F.pad(score, (1, 1, 1, 1))
        for y in range(3):
            for x in range(3):
                if (y, x) != (1, 1):
                    near = scores[:, y : y + rows, x : x + columns]
                    above = near >= score if (y, x) < (1, 1) else near > score
                    same = channels[:, y : y + rows, x : x + columns] == channel
                    highest &= ~(same & above)
        cell = (images.shape[2] // rows, images.shape[3] // columns)
        found: list[tuple[Found, tuple[int, int]]] = []
        for image in range(len(outputs)):
            at = highest[image].nonzero().tolist()
            objects = [
                (y, x, float(score[image, y, x]), int(channel[image, y, x]) - 1) for y, x in at
            ]
            found.append((objects, cell))
        return found

    def score(self, answers: list[tuple[Found, tuple[int, int]]], targets: Tensor) -> float:
        """Return the mean F1 of the classes that some target has, an object in the right cell or
        beside it being right."""
        classes = int(max([float(targets[..., 0].max()), *(o[3] for f, _ in answers for o in f)]))
        right, said, truth = _matched(answers, targets, classes + 1)
        known = truth > 0
        f1 = 2 * right / np.maximum(said + truth, 1)
        return float(f1[known].mean()) if known.any() else 0.0

    def report(
        self,
        reached: Result,
        answers: list[tuple[Found, tuple[int, int]]],
        targets: Tensor,
        data: Dataset,
    ) -> LevelPeaks:
        """Return precision and recall of every class."""
        names = data.class_names
        right, said, truth = _matched(answers, targets, len(names))
        return LevelPeaks(
            reached.level,
            reached.sparsity,
            reached.score_float,
            reached.score_quantized,
            dict(zip(names, map(share, right, said), strict=True)),
            dict(zip(names, map(share, right, truth), strict=True)),
        )

    def _cells(self, boxes: Tensor, cells: Sequence[int], size: Sequence[int]) -> Tensor:
        """Return the channel of every cell (n, rows, columns) that ``boxes`` in images of ``size``
        (h, w) ask for."""
        truth = torch.zeros((len(boxes), *cells), dtype=torch.long, device=boxes.device)
        image, at = (boxes[..., 0] >= 0).nonzero(as_tuple=True)
        label, x1, y1, x2, y2 = boxes[image, at].unbind(1)
        row = ((y1 + y2) / 2 * cells[0] / size[0]).long().clamp(0, cells[0] - 1)
        column = ((x1 + x2) / 2 * cells[1] / size[1]).long().clamp(0, cells[1] - 1)
        truth[image, row, column] = label.long() + 1
        return truth

    def _free(self, boxes: Tensor, cells: Sequence[int], size: Sequence[int]) -> Tensor:
        """Return of which cells (n, rows, columns) the middle lies in a box that need not be
        found."""
        y, x = (
            (torch.arange(c, device=boxes.device) + 0.5) * s / c
            for c, s in zip(cells, size, strict=True)
        )
        label, x1, y1, x2, y2 = (each[..., None] for each in boxes.unbind(-1))
        down = ((y1 < y) & (y < y2) & (label < -1))[..., None]
        return (down & ((x1 < x) & (x < x2))[..., None, :]).any(1)


def _matched(
    answers: list[tuple[Found, tuple[int, int]]], targets: Tensor, classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each class how many objects are rightly found, found at all, and there.

    Objects take, the highest first, the nearest box of their class that no other took, whose centre
    is in their cell or next to it. Those left whose cell's middle lies in a box that need not be
    found count not.
    """
    right, said, truth = np.zeros((3, classes), np.int64)
    for (objects, cell), boxes in zip(answers, targets.cpu().numpy(), strict=True):
        boxes, aside = boxes[boxes[:, 0] >= 0], boxes[boxes[:, 0] < -1]
        labels = boxes[:, 0].astype(np.int64)
        rows = (boxes[:, 2] + boxes[:, 4]) / 2 // cell[0]
        columns = (boxes[:, 1] + boxes[:, 3]) / 2 // cell[1]
        truth += np.bincount(labels, minlength=classes)
        free = np.ones(len(boxes), bool)
        for row, column, _, label in sorted(objects, key=lambda each: -each[2]):
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


TASK = HeatMap()
