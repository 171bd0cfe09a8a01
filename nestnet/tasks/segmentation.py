"""Segmentation: a class for every position of an image.

Of two classes a network may have one map, class 1 where its logit is above 0; else it has a map per
class, the largest wins. A device answers with ``nn_segment``, and to larger images in tiles with
``nn_segment_image``; their NumPy twins are in ``codegen/tasks/segmentation.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

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
from nestnet.tasks._augment import augmented
from nestnet.tasks._levels import of_levels, sigmoid_distance, softmax_distance
from nestnet.tasks._targets import check_form, check_named, splits
from nestnet.tasks._task import Answers, Result, Task

IGNORED = 255
"""Class of positions that count for nothing, in training and in scores."""


@dataclass(frozen=True)
class LevelMasks:
    """How well one level's masks of the test images cover the classes, 0..1."""

    level: int
    sparsity: float
    """Achieved, over all prunable weights."""
    mean_iou_float: float
    """Of the final weights, without quantization."""
    mean_iou_quantized: float
    """Of the fake-quantized network, as is all below."""
    dice_of: Mapping[str, float | None]
    """Of every class: twice the positions in common, by those of truth and answer together; None
    where neither has any."""
    iou_of: Mapping[str, float | None]
    """Of every class: positions in common by those that either has; likewise."""


@dataclass(frozen=True)
class Segmentation(Task):
    """Targets are masks, uint8 (n, h, w) with a class or IGNORED at each position."""

    margin: int | None = None
    """Of the tiles that it is trained on; None for whole images, and for data not yet known."""

    metric = "mean IoU"
    takes_softmax = True
    model = "unet_small"

    def check_data(self, data: Dataset) -> None:
        """Refuse masks of another size than the images, or with numbers that are no classes."""
        classes = check_named(data)
        if not 2 <= classes <= IGNORED:
            raise broken(data, "impossible number of classes", str(classes), f"2..{IGNORED}")
        size = data.input_shape[:2]
        expected = f"(n, {size[0]}, {size[1]})"
        check_form(data, np.uint8, expected, lambda masks: masks.shape[1:] == size)
        for where, split in splits(data):
            found = np.unique(split.targets)
            bad = [int(number) for number in found if classes <= number < IGNORED]
            if bad:
                raise broken(
                    data,
                    f"{where} hold numbers that are no classes",
                    ", ".join(map(str, bad)),
                    f"0..{classes - 1}, or {IGNORED} where a position does not count",
                )
            if found.tolist() == [IGNORED]:
                only = f"{IGNORED} everywhere"
                raise broken(data, f"{where} count nowhere", only, f"0..{classes - 1} somewhere")

    def oddities(self, data: Dataset) -> tuple[str, ...]:
        """Return which classes are in no mask."""
        told = []
        for what, split in (("training", data.train), ("test", data.test)):
            found = set(np.unique(split.targets).tolist())
            absent = [name for index, name in enumerate(data.class_names) if index not in found]
            if absent:
                told.append(f"no {what} mask has a position of {', '.join(absent)}")
        return tuple(told)

    def fitted(self, data: Dataset) -> Self:
        """Return the task with the margin of the data's tiles."""
        return self if data.cut is None else replace(self, margin=data.cut.margin)

    def defaults(self, given: TrainConfig) -> Mapping[str, Any]:
        """Return what masks train well with."""
        return {"optimizer": "adamw", "lr": 4e-3, "batch": 16, "lr_quantized": 5e-4}

    def outputs(self, data: Dataset) -> int:
        """Return 1 for two classes, else the number of classes."""
        count = len(data.class_names)
        return 1 if count == 2 else count

    def names(self, data: Dataset) -> tuple[str, ...]:
        """Return the class names."""
        return data.class_names

    def meanings(self, shapes: Shapes) -> tuple[Meaning, ...]:
        """Return that the output is a map."""
        return ("map",)

    def check_outputs(self, model: str, shapes: Shapes, data: Dataset) -> None:
        """Refuse a network without one map as large as the image, of a channel per class."""
        height, width, _ = data.input_shape
        count = len(data.class_names)
        wanted = {(height, width, channels) for channels in {self.outputs(data), count}}
        if len(shapes) != 1 or shapes[0] not in wanted:
            raise UserError(
                model,
                "the model's output is no mask of the data set's classes",
                got=", ".join("x".join(map(str, shape)) for shape in shapes) + " in h, w, c",
                expected=" or ".join("x".join(map(str, shape)) for shape in sorted(wanted)),
                action="Change the model's last layer, or leave out the layers that make maps "
                "smaller and do not make them larger again",
            )

    def settings(
        self, graph: Graph, trained: Callable[[int], Answers] | None
    ) -> Mapping[str, Sequence[float]]:
        """Return the least int8 value above 0, for one map, and the margin of tiles."""
        output = graph.only_output
        found = {"threshold": (output.zero_point + 1,)} if output.shape[2] == 1 else {}
        return found if self.margin is None else {**found, "margin": (self.margin,)}

    def targets(self, split: Split) -> Tensor:
        """Return the masks, uint8 (n, h, w)."""
        return torch.from_numpy(split.targets)

    def augment(
        self, pixels: Tensor, targets: Tensor, generator: torch.Generator, how: str, seen: Pixels
    ) -> tuple[Tensor, Tensor]:
        """Return images and their masks, moved together; what moves in counts for nothing."""
        images, masks = augmented(pixels, generator, how, seen, targets, IGNORED)
        return images, targets if masks is None else masks

    def loss(
        self, outputs: Sequence[Tensor], targets: Tensor, images: Tensor, config: TrainConfig
    ) -> Tensor:
        """Return the levels' summed loss; the densest one teaches the others.

        Of one map cross-entropy plus 1 - Dice; of a map per class cross-entropy.
        """
        if outputs[0].shape[1] > 1:
            classes = targets.long()
            counted = max(int((targets != IGNORED).sum()), 1)

            def of_classes(logits: Tensor) -> Tensor:
                total = F.cross_entropy(logits, classes, ignore_index=IGNORED, reduction="sum")
                return total / counted

            return of_levels(outputs, of_classes, softmax_distance, config)
        weight = (targets != IGNORED).float()
        truth = (targets == 1).float()
        return of_levels(
            outputs,
            lambda logits: _mask_loss(logits[:, 0], truth, weight),
            sigmoid_distance,
            config,
        )

    def answers(self, outputs: Tensor, images: Tensor) -> Tensor:
        """Return the class of every position, uint8 (n, h, w)."""
        if outputs.shape[1] > 1:
            return outputs.argmax(dim=1).to(torch.uint8)
        return (outputs[:, 0] > 0).to(torch.uint8)

    def score(self, answers: Tensor, targets: Tensor) -> float:
        """Return the mean intersection over union of the classes that occur."""
        counted = targets != IGNORED
        seen = torch.cat([answers[counted], targets[counted]])
        classes = int(seen.max()) + 1 if len(seen) else 1
        overlap, either, _ = _overlaps(answers, targets, classes)
        known = either > 0
        return float((overlap[known] / either[known]).mean())

    def report(
        self, reached: Result, answers: Tensor, targets: Tensor, data: Dataset
    ) -> LevelMasks:
        """Return what a level's masks share with the true ones, by class."""
        names = data.class_names
        overlap, either, both = _overlaps(answers, targets, len(names))
        dice, iou = map(share, 2 * overlap, both), map(share, overlap, either)
        return LevelMasks(
            reached.level,
            reached.sparsity,
            reached.score_float,
            reached.score_quantized,
            dict(zip(names, dice, strict=True)),
            dict(zip(names, iou, strict=True)),
        )


def _mask_loss(logits: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Return cross-entropy plus 1 - Dice of logits (n, h, w), where ``weight`` is 1."""
    counted = weight.sum().clamp_min(1)
    crossed = F.binary_cross_entropy_with_logits(logits, truth, weight, reduction="sum") / counted
    share = torch.sigmoid(logits) * weight
    inside = (share * truth).sum()
    dice = (2 * inside + 1) / (share.sum() + (truth * weight).sum() + 1)
    return crossed + 1 - dice


def _overlaps(answers: Tensor, targets: Tensor, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each class the positions that truth and answers share, that either has, and the
    sum of what each has."""
    counted = targets != IGNORED
    pairs = targets[counted].long() * classes + answers[counted].long()
    counts = torch.bincount(pairs, minlength=classes * classes).reshape(classes, classes).double()
    overlap = counts.diag()
    both = counts.sum(dim=0) + counts.sum(dim=1)
    return overlap, both - overlap, both


TASK = Segmentation()
