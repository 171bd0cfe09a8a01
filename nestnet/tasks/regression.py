"""Regression: numbers for each image.

A network learns them less their mean, by their standard deviation, both of the training data; a
device answers in the data's own units with ``nn_numbers``, whose NumPy twin is
``codegen/tasks/regression.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from codegen.graph.ir import Graph, Meaning
from nestnet.config import TrainConfig
from nestnet.datasets import Dataset, Split, broken
from nestnet.net.stages import Bound
from nestnet.net.tensors import Shapes
from nestnet.samples import Seen
from nestnet.tasks._levels import of_levels, plain_distance
from nestnet.tasks._targets import check_form, check_reach, check_vector, reached, splits
from nestnet.tasks._task import Answers, Result, Task

_LARGEST = 2.0**50
"""Of a number; a device's units are at most 2^30."""
_UNIT = 2.0**-30
"""A device's smallest unit, and the share of the largest number that a unit is at least."""
_UNITS = 256
"""How many of them a standard deviation has to be: some for each step of an int8 output."""


@dataclass(frozen=True)
class LevelNumbers:
    """How near one level's numbers are to those of the test images."""

    level: int
    sparsity: float
    """Achieved, over all prunable weights."""
    r2_float: float
    """Mean share of the variance explained, at least 0, of the final weights without
    quantization."""
    r2_quantized: float
    """Of the fake-quantized network, as is all below."""
    mean_absolute_error_of: Mapping[str, float]
    """In the data's units."""
    r2_of: Mapping[str, float]


@dataclass(frozen=True)
class Regression(Task):
    """Targets are float32 (n, numbers)."""

    mean: tuple[float, ...] = ()
    """Of the training targets; empty for data that is not known yet."""
    spread: tuple[float, ...] = ()
    """Their standard deviations; 1 where all are equal."""

    metric = "R2"
    of_logits = False

    def check_data(self, data: Dataset) -> None:
        """Refuse targets that are no finite numbers, or names for another count of them."""
        check_form(data, np.float32, "(n, numbers)", lambda targets: targets.ndim == 2)
        widths = {split.targets.shape[1] for _, split in splits(data)}
        counts = widths | ({len(data.class_names)} if data.class_names else set())
        if len(counts) > 1 or 0 in counts:
            raise broken(
                data,
                "not the same count of numbers everywhere",
                f"targets of {', '.join(map(str, sorted(widths)))}, {len(data.class_names)} names",
                "as many numbers in train and test, and as many class_names or none",
            )
        for where, split in splits(data):
            if not np.isfinite(split.targets).all():
                bad = int((~np.isfinite(split.targets)).sum())
                raise broken(data, f"{where} are no numbers", f"{bad} of them", "finite numbers")
        _check_scale(data)

    def oddities(self, data: Dataset) -> tuple[str, ...]:
        """Return which numbers are always the same."""
        targets = data.train.targets
        same = [name for name, y in zip(_named(data), targets.T, strict=True) if y.min() == y.max()]
        return (f"the same in all training data: {', '.join(same)}",) if same else ()

    def fitted(self, data: Dataset) -> Self:
        """Return the task with mean and standard deviation of the training targets."""
        targets = data.train.targets.astype(np.float64)
        spread = targets.std(axis=0)
        spread[spread == 0] = 1.0
        return replace(self, mean=tuple(targets.mean(axis=0)), spread=tuple(spread))

    def outputs(self, data: Dataset) -> int:
        """Return how many numbers there are."""
        return int(data.train.targets.shape[1])

    def names(self, data: Dataset) -> tuple[str, ...]:
        """Return what the numbers are called."""
        return data.class_names

    def meanings(self, shapes: Shapes) -> tuple[Meaning, ...]:
        """Return that the output is a list of numbers."""
        return ("plain",)

    def check_outputs(self, model: str, shapes: Shapes, data: Dataset) -> None:
        """Refuse a network that has not one output per number."""
        check_vector(model, shapes, _named(data))

    def bounded(
        self, model: str, bounds: Sequence[Sequence[Bound | None]], data: Dataset, seen: Seen
    ) -> Self:
        """Return, for a network that ends in a function with bounds, the task that learns the
        numbers as they are.

        Raises:
            UserError: there are numbers beyond the bounds, or only some outputs have any.
        """
        bound = reached(model, bounds)
        if bound is None:
            return self
        targets = data.train.targets
        check_reach(
            model, bound, "training targets", (float(targets.min()), float(targets.max())),
            "scale the targets",
        )  # fmt: skip
        count = targets.shape[1]
        return replace(self, mean=(0.0,) * count, spread=(1.0,) * count)

    def settings(
        self, graph: Graph, trained: Callable[[int], Answers] | None
    ) -> Mapping[str, Sequence[float]]:
        """Return what a step of the output is in the data's units, and what zero is."""
        output = graph.only_output
        spread = self.spread or (1.0,) * output.shape[2]
        mean = self.mean or (0.0,) * output.shape[2]
        return {"step": [output.scale[0] * each for each in spread], "offset": mean}

    def targets(self, split: Split) -> Tensor:
        """Return the numbers, float32 (n, numbers)."""
        return torch.from_numpy(split.targets)

    def loss(
        self, outputs: Sequence[Tensor], targets: Tensor, images: Tensor, config: TrainConfig
    ) -> Tensor:
        """Return the levels' summed smooth absolute error; the densest one teaches the others."""
        truth = (targets - targets.new_tensor(self.mean)) / targets.new_tensor(self.spread)
        return of_levels(
            outputs, lambda found: F.smooth_l1_loss(found, truth), plain_distance, config
        )

    def answers(self, outputs: Tensor, images: Tensor) -> Tensor:
        """Return the numbers in the data's units, (n, numbers)."""
        found = outputs.float()
        return found * found.new_tensor(self.spread) + found.new_tensor(self.mean)

    def score(self, answers: Tensor, targets: Tensor) -> float:
        """Return the mean share of the targets' variance that is explained, at least 0."""
        return max(float(_explained(answers, targets).mean()), 0.0)

    def report(
        self, reached: Result, answers: Tensor, targets: Tensor, data: Dataset
    ) -> LevelNumbers:
        """Return the error of every number."""
        errors = (answers - targets).abs().mean(dim=0).tolist()
        names = _named(data)
        explained = _explained(answers, targets).tolist()
        return LevelNumbers(
            reached.level,
            reached.sparsity,
            reached.score_float,
            reached.score_quantized,
            dict(zip(names, errors, strict=True)),
            dict(zip(names, explained, strict=True)),
        )


def _named(data: Dataset) -> tuple[str, ...]:
    """Return what each number is called."""
    return data.class_names or tuple(f"number {i}" for i in range(data.train.targets.shape[1]))


def _check_scale(data: Dataset) -> None:
    """Refuse numbers that never differ, or that int32 in one unit cannot hold side by side: a
    device would answer with the mean, whatever it sees.

    Raises:
        UserError: names the number.
    """
    targets = data.train.targets.astype(np.float64)
    mean, spread = targets.mean(axis=0), targets.std(axis=0)
    sizes = np.abs(mean) + 8 * spread
    unit = max(_UNIT, float(sizes.max()) * _UNIT)
    fine = (spread == 0) | (spread >= _UNITS * unit)
    if not spread.any():
        got = f"{targets[0, 0]:g} in all of them"
        raise broken(data, "train.targets say nothing", got, "numbers that differ")
    if fine.all() and sizes.max() <= _LARGEST:
        return
    wrong = int(np.argmin(fine)) if not fine.all() else int(sizes.argmax())
    raise broken(
        data,
        "numbers of too different sizes for a device, which has one unit for all",
        f"{_named(data)[wrong]}: mean {mean[wrong]:g}, standard deviation {spread[wrong]:g}",
        f"numbers up to {_LARGEST:.0e} that differ by at least {_UNITS * unit:.1e}",
        "Learn them in other units, or less a constant",
    )


def _explained(answers: Tensor, targets: Tensor) -> Tensor:
    """Return 1 less the mean squared error by the variance, for each number."""
    found, truth = answers.double(), targets.double()
    wrong = (found - truth).square().mean(dim=0)
    spread = (truth - truth.mean(dim=0)).square().mean(dim=0)
    return 1 - wrong / spread.clamp_min(1e-300)


TASK = Regression()
