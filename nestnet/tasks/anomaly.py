"""Whether an input is odd: a network learns to give inputs back, and fails at what it never saw.

Training images are the usual ones. Class folders train it, too: of the class that is called usual,
normal, good or ok, else of the first one; test images of every other class are odd. A device
answers with ``nn_difference``; its NumPy twin is ``codegen/tasks/anomaly.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from codegen.errors import UserError
from codegen.graph.ir import Graph, Meaning
from nestnet.config import TrainConfig
from nestnet.datasets import Dataset, Split
from nestnet.net.network import to_float_input
from nestnet.net.stages import Bound
from nestnet.net.tensors import Shapes
from nestnet.samples import Seen
from nestnet.tasks._levels import of_levels, plain_distance
from nestnet.tasks._targets import check_labels, check_reach, reached
from nestnet.tasks._task import Answers, Result, Task

_USUAL = ("usual", "normal", "good", "ok")
"""Names, in any case, of the class that is not odd."""
_FALSE_ALARMS = 0.01
"""Share of the training images that the threshold calls odd."""
_FINER = 256.0
"""Squares of a sixteenth of the input's step in the square of one."""


@dataclass(frozen=True)
class LevelOddity:
    """How well one level tells odd test images from usual ones."""

    level: int
    sparsity: float
    """Achieved, over all prunable weights."""
    area_float: float
    """Under the curve of hits by false alarms, 0..1, of the final weights without quantization; 0.5
    where the test images are all of one kind."""
    area_quantized: float
    """Of the fake-quantized network, as is all below."""
    usual: float
    """Mean difference of usual test images, in squares of what the network sees."""
    odd: float
    """The same of odd ones; 0 without any."""


@dataclass(frozen=True)
class Anomaly(Task):
    """Targets are labels, int64 (n,): one class is usual."""

    usual_class: int = 0

    metric = "AUROC"
    of_logits = False
    of_input = True
    model = "autoencoder"
    takes = ("classification",)

    def check_data(self, data: Dataset) -> None:
        """Refuse labels that are none, and training data without a usual image."""
        check_labels(data)
        usual = self.fitted(data).usual_class
        if not (data.train.targets == usual).any():
            raise UserError(
                data.name,
                "no training image is usual",
                got=f"none of the class {data.class_names[usual]!r}",
                expected="at least one",
                action="Add images of what is usual",
            )

    def fitted(self, data: Dataset) -> Self:
        """Return the task with the class that is usual."""
        known = [index for index, n in enumerate(data.class_names) if n.casefold() in _USUAL]
        return replace(self, usual_class=known[0] if known else 0)

    def oddities(self, data: Dataset) -> tuple[str, ...]:
        """Return which class is taken for the usual one, and what the test images lack."""
        name = data.class_names[self.usual_class]
        said = [f"the class {name!r} is what is usual; training images of others are left out"]
        kinds = {bool(label == self.usual_class) for label in data.test.targets}
        if len(kinds) < 2:
            said.append("all test images are of one kind: nothing says how well odd ones are told")
        return tuple(said)

    def training(self, split: Split) -> Split:
        """Return the usual images alone."""
        usual = split.targets == self.usual_class
        sound = None if split.sound is None else split.sound[usual]
        return Split(split.images[usual], split.targets[usual], sound)

    def outputs(self, data: Dataset) -> int:
        """Return the channels of an image."""
        return data.input_shape[2]

    def names(self, data: Dataset) -> tuple[str, ...]:
        """Return the class names."""
        return data.class_names

    def meanings(self, shapes: Shapes) -> tuple[Meaning, ...]:
        """Return that the output is a map."""
        return ("map",)

    def check_outputs(self, model: str, shapes: Shapes, data: Dataset) -> None:
        """Refuse a network whose output is not of the input's shape."""
        if shapes != (data.input_shape,):
            raise UserError(
                model,
                "the model's output is not of the input's shape",
                got=", ".join("x".join(map(str, shape)) for shape in shapes) + " in h, w, c",
                expected="x".join(map(str, data.input_shape)),
                action="Change the model's last layers, so that it gives an image back",
            )

    def bounded(
        self, model: str, bounds: Sequence[Sequence[Bound | None]], data: Dataset, seen: Seen
    ) -> Self:
        """Return the task.

        Raises:
            UserError: the network is fed numbers beyond the bounds of the function it ends in.
        """
        bound = reached(model, bounds)
        if bound is not None:
            raw = data.train.images
            ends = np.stack([raw.min(axis=(0, 1, 2)), raw.max(axis=(0, 1, 2))])[:, None, None]
            fed = to_float_input(ends, seen)
            check_reach(
                model, bound, "images as the network sees them",
                (float(fed.min()), float(fed.max())), "of pixels 0..1 with --mean 0 --std 1",
            )  # fmt: skip
        return self

    def settings(
        self, graph: Graph, trained: Callable[[int], Answers] | None
    ) -> Mapping[str, Sequence[float]]:
        """Return for each level the difference that a hundredth of the training images reach."""
        step = graph.only_input.scale[0]
        if trained is None:
            return {"thresholds": (0.0,) * len(graph.levels)}
        found = []
        for level in range(len(graph.levels)):
            differences = torch.as_tensor(trained(level)).double()
            least = float(torch.quantile(differences, 1 - _FALSE_ALARMS))
            found.append(float(min(np.ceil(least / step**2 * _FINER), 2**32 - 1)))
        return {"thresholds": found}

    def targets(self, split: Split) -> Tensor:
        """Return 1 for what is odd, else 0, int64 (n,)."""
        return torch.from_numpy((split.targets != self.usual_class).astype(np.int64))

    def loss(
        self, outputs: Sequence[Tensor], targets: Tensor, images: Tensor, config: TrainConfig
    ) -> Tensor:
        """Return the levels' summed squared difference from the input; the densest one teaches."""
        truth = images.float()
        return of_levels(outputs, lambda made: F.mse_loss(made, truth), plain_distance, config)

    def answers(self, outputs: Tensor, images: Tensor) -> Tensor:
        """Return the mean squared difference of every image, (n,)."""
        return (outputs.float().flatten(1) - images.float().flatten(1)).square().mean(dim=1)

    def score(self, answers: Tensor, targets: Tensor) -> float:
        """Return the area under the curve of hits by false alarms; 0.5 without both kinds."""
        odd, usual = answers[targets != 0], answers[targets == 0].sort().values
        if not len(odd) or not len(usual):
            return 0.5
        below = torch.searchsorted(usual, odd) + torch.searchsorted(usual, odd, right=True)
        return float(below.double().mean() / (2 * len(usual)))

    def report(
        self, reached: Result, answers: Tensor, targets: Tensor, data: Dataset
    ) -> LevelOddity:
        """Return how far odd and usual images are from what the network makes of them."""
        usual, odd = answers[targets == 0], answers[targets != 0]
        return LevelOddity(
            reached.level,
            reached.sparsity,
            reached.score_float,
            reached.score_quantized,
            float(usual.mean()) if len(usual) else 0.0,
            float(odd.mean()) if len(odd) else 0.0,
        )


TASK = Anomaly()
