"""Classification: one label per image; the answer is the class of the largest output.

A device answers with ``nn_argmax``; its NumPy twin is ``codegen/tasks/classification.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from codegen.graph.ir import Meaning
from nestnet import datasets
from nestnet.config import HEARD, TrainConfig
from nestnet.datasets import Dataset, Split, broken
from nestnet.net.tensors import Shapes
from nestnet.tasks._targets import check_labels, check_vector
from nestnet.tasks._task import Result, Task

ONE_OUTPUT = (
    "Give the last layer one output per class and leave a sigmoid out, for of two outputs the "
    "softmax is the sigmoid of their difference; or train two classes with --task multi_label"
)
"""What to do with a network that answers yes or no by one number."""


@dataclass(frozen=True)
class LevelAccuracy:
    """Top-1 accuracy of one level on the test images, 0..1."""

    level: int
    sparsity: float
    """Achieved, over all prunable weights."""
    accuracy_float: float
    """Of the final weights, which saw quantization in training, without it. The "float" that
    training and `nestnet run` show is that of the weights before the quantization-aware epochs."""
    accuracy_quantized: float
    """Of the fake-quantized network."""
    class_names: tuple[str, ...] = field(repr=False)
    confusion: tuple[tuple[int, ...], ...] = field(repr=False)
    """Test images of the class (row) that the fake-quantized network takes for the class (column).
    """

    @property
    def f1_of(self) -> dict[str, float | None]:
        """Return the fake-quantized network's F1 of every class; None without test images."""
        said = [sum(column) for column in zip(*self.confusion, strict=True)]
        return {
            name: 2 * row[index] / (sum(row) + said[index]) if sum(row) else None
            for index, (name, row) in enumerate(zip(self.class_names, self.confusion, strict=True))
        }

    @property
    def macro_f1(self) -> float:
        """Return the mean of :attr:`f1_of` over the classes with test images."""
        known = [value for value in self.f1_of.values() if value is not None]
        return sum(known) / len(known) if known else 0.0

    @property
    def accuracy_of(self) -> dict[str, float | None]:
        """Return the fake-quantized network's accuracy on every class; None without test images."""
        return {
            name: row[index] / sum(row) if sum(row) else None
            for index, (name, row) in enumerate(zip(self.class_names, self.confusion, strict=True))
        }


class Classification(Task):
    """Targets are indices into the data set's class names, the score is top-1 accuracy."""

    metric = "top-1 accuracy"
    takes_softmax = True

    def defaults(self, given: TrainConfig) -> Mapping[str, Any]:
        """Return what sounds train well with, of which a voice that was never heard asks most:
        AdamW and averaged weights; a dense network becomes int8 after the training."""
        if given.dataset != HEARD:
            return {}
        recipe = {
            "optimizer": "adamw",
            "lr": 4e-3,
            "lr_quantized": 2e-4,
            "weight_decay": 0.02,
            "ema": 0.99,
            "batch": 32,
        }
        return recipe | ({"split": (1.0, 0.0, 0.0, 0.0)} if given.is_dense else {})

    def check_data(self, data: Dataset) -> None:
        """Refuse labels that are no indices into the class names, or a single class."""
        check_labels(data)
        if len(data.class_names) < 2:
            action = "Add images of another class; what is odd among one class finds --task anomaly"
            names = ", ".join(data.class_names)
            raise broken(data, "nothing to tell apart", names, "two classes or more", action)

    def outputs(self, data: Dataset) -> int:
        """Return the number of classes."""
        return len(data.class_names)

    def names(self, data: Dataset) -> tuple[str, ...]:
        """Return the class names, one per output."""
        return data.class_names

    def meanings(self, shapes: Shapes) -> tuple[Meaning, ...]:
        """Return that the output is a list of class scores."""
        return ("class_scores",)

    def check_outputs(self, model: str, shapes: Shapes, data: Dataset) -> None:
        """Refuse a network that has not one output per class."""
        alone = shapes == ((1, 1, 1),)
        action = ONE_OUTPUT if alone else "Change the model's last layer"
        check_vector(model, shapes, data.class_names, action)

    def oddities(self, data: Dataset) -> tuple[str, ...]:
        """Return what is odd about images, labels and their numbers."""
        return datasets.oddities(data)

    def targets(self, split: Split) -> Tensor:
        """Return the labels, int64 (n,)."""
        return torch.from_numpy(split.targets)

    def loss(
        self, outputs: Sequence[Tensor], targets: Tensor, images: Tensor, config: TrainConfig
    ) -> Tensor:
        """Return the levels' summed loss; the densest one teaches the others."""
        teacher = outputs[0]
        total = densest_loss(teacher, targets)
        for own in outputs[1:]:
            total = total + sparser_loss(
                own, teacher, targets, config.distill_weight, config.distill_temperature
            )
        return total

    def answers(self, outputs: Tensor, images: Tensor) -> Tensor:
        """Return the class of the largest output of every image, (n,)."""
        return outputs.argmax(dim=1)

    def score(self, answers: Tensor, targets: Tensor) -> float:
        """Return the share of images whose class is the label."""
        return int((answers == targets).sum()) / len(targets)

    def report(
        self, reached: Result, answers: Tensor, targets: Tensor, data: Dataset
    ) -> LevelAccuracy:
        """Return a level's accuracies, and what each class is taken for."""
        names = data.class_names
        return LevelAccuracy(
            reached.level,
            reached.sparsity,
            reached.score_float,
            reached.score_quantized,
            names,
            confusion(answers, targets, len(names)),
        )


def confusion(answers: Tensor, labels: Tensor, classes: int) -> tuple[tuple[int, ...], ...]:
    """Return how many images of each class (row) are taken for each (column)."""
    counts = torch.bincount(labels * classes + answers, minlength=classes * classes)
    return tuple(tuple(row) for row in counts.reshape(classes, classes).tolist())


def densest_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the densest level's loss: cross-entropy. logits (n, classes), labels (n,)."""
    return F.cross_entropy(logits.float(), labels)


def sparser_loss(
    logits: Tensor, teacher: Tensor, labels: Tensor, weight: float, temperature: float
) -> Tensor:
    """Return a sparser level's loss: cross-entropy mixed with distillation.

    ``(1 - weight) * CE(logits, labels) + weight * T^2 * KL(teacher / T || logits / T)``. Source:
    Hinton et al., arXiv 1503.02531; in place as in Yu and Huang, arXiv 1903.05134.

    Args:
        logits: this level's outputs, (n, classes).
        teacher: the densest level's outputs in the same step, (n, classes); no gradient flows.
        labels: (n,).
        weight: share of the distillation, 0..1.
        temperature: T.
    """
    logits = logits.float()
    soft = F.log_softmax(teacher.detach().float() / temperature, dim=1)
    own = F.log_softmax(logits / temperature, dim=1)
    distance = F.kl_div(own, soft, reduction="batchmean", log_target=True)
    hard = F.cross_entropy(logits, labels)
    return (1.0 - weight) * hard + weight * temperature**2 * distance


TASK = Classification()
