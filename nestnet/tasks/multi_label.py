"""Several labels, or a single one, each of which an image has or has not.

A label is there where its logit is above 0. Class folders of two classes train a binary network:
one output, which says whether the image is of the second class. A device answers with
``nn_present``; its NumPy twin is ``codegen/tasks/multi_label.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
from nestnet.tasks._levels import of_levels, sigmoid_distance
from nestnet.tasks._targets import check_form, check_labels, check_named, check_vector, splits
from nestnet.tasks._task import Answers, Result, Task

_BINARY = "classification"
"""The other task whose data, of two classes, trains one output."""


@dataclass(frozen=True)
class LevelLabels:
    """How well one level finds the labels of the test images, 0..1."""

    level: int
    sparsity: float
    """Achieved, over all prunable weights."""
    macro_f1_float: float
    """Of the final weights, without quantization."""
    macro_f1_quantized: float
    """Of the fake-quantized network, as is all below."""
    precision_of: Mapping[str, float | None]
    """Of every label; None where it was never said."""
    recall_of: Mapping[str, float | None]
    """Of every label; None where no test image has it."""
    f1_of: Mapping[str, float | None]
    """Of every label; None where both is so."""


class MultiLabel(Task):
    """Targets are uint8 (n, labels), 1 where an image has the label; or labels of two classes."""

    metric = "macro-F1"
    takes = (_BINARY,)

    def check_data(self, data: Dataset) -> None:
        """Refuse targets that are not 0 or 1 for every label, and more than two classes."""
        if data.task == _BINARY:
            check_labels(data)
            if len(data.class_names) != 2:
                raise UserError(
                    f"{data.name}",
                    "one class for each image, and more than two of them",
                    got=f"{len(data.class_names)} classes: {', '.join(data.class_names)}",
                    expected="two classes, or labels of which an image may have several",
                    action="Train it as a classification: leave --task out",
                )
            return
        labels = check_named(data)
        check_form(data, np.uint8, f"(n, {labels})", lambda targets: targets.shape[1:] == (labels,))
        for where, split in splits(data):
            if split.targets.max() > 1:
                raise broken(
                    data,
                    f"{where} hold more than yes and no",
                    str(int(split.targets.max())),
                    "1 where an image has the label, else 0",
                )

    def oddities(self, data: Dataset) -> tuple[str, ...]:
        """Return which labels no training image has."""
        found = self.targets(data.train).numpy().max(axis=0)
        names = self.names(data)
        never = [name for name, most in zip(names, found, strict=True) if not most]
        return (f"no training image has the label {', '.join(never)}",) if never else ()

    def outputs(self, data: Dataset) -> int:
        """Return the number of labels."""
        return len(self.names(data))

    def names(self, data: Dataset) -> tuple[str, ...]:
        """Return the labels; of two classes the second."""
        return data.class_names[1:] if data.task == _BINARY else data.class_names

    def meanings(self, shapes: Shapes) -> tuple[Meaning, ...]:
        """Return that the output is a list of numbers."""
        return ("plain",)

    def check_outputs(self, model: str, shapes: Shapes, data: Dataset) -> None:
        """Refuse a network that has not one output per label."""
        check_vector(model, shapes, self.names(data))

    def settings(
        self, graph: Graph, trained: Callable[[int], Answers] | None
    ) -> Mapping[str, Sequence[float]]:
        """Return the least int8 value above 0 for each label."""
        output = graph.only_output
        return {"thresholds": (output.zero_point + 1,) * output.shape[2]}

    def targets(self, split: Split) -> Tensor:
        """Return 1 where an image has the label, uint8 (n, labels)."""
        targets = torch.from_numpy(split.targets)
        return targets if targets.dim() == 2 else (targets == 1).to(torch.uint8)[:, None]

    def loss(
        self, outputs: Sequence[Tensor], targets: Tensor, images: Tensor, config: TrainConfig
    ) -> Tensor:
        """Return the levels' summed cross-entropy of every label; the densest one teaches."""
        truth = targets.float()
        return of_levels(
            outputs,
            lambda logits: F.binary_cross_entropy_with_logits(logits, truth),
            sigmoid_distance,
            config,
        )

    def answers(self, outputs: Tensor, images: Tensor) -> Tensor:
        """Return which labels each image has, uint8 (n, labels)."""
        return (outputs > 0).to(torch.uint8)

    def score(self, answers: Tensor, targets: Tensor) -> float:
        """Return the mean F1 of the labels that some target has."""
        right, said, truth = _counts(answers, targets)
        known = truth > 0
        f1 = 2 * right / (said + truth).clamp_min(1)
        return float(f1[known].mean()) if bool(known.any()) else 0.0

    def report(
        self, reached: Result, answers: Tensor, targets: Tensor, data: Dataset
    ) -> LevelLabels:
        """Return precision, recall and F1 of every label."""
        right, said, truth = _counts(answers, targets)
        pairs = ((right, said), (right, truth), (2 * right, said + truth))
        names = self.names(data)
        precision, recall, f1 = (dict(zip(names, map(share, *pair), strict=True)) for pair in pairs)
        return LevelLabels(
            reached.level,
            reached.sparsity,
            reached.score_float,
            reached.score_quantized,
            precision,
            recall,
            f1,
        )


def _counts(answers: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each label how often it is rightly said, said at all, and true."""
    found, truth = answers > 0, targets > 0
    return tuple(each.sum(dim=0).double() for each in (found & truth, found, truth))  # type: ignore[return-value]


TASK = MultiLabel()
