"""What a task has to say: everything about a training that is not the network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from codegen.errors import UserError
from codegen.graph.ir import Graph, Meaning
from codegen.tasks import TASKS
from nestnet.classes import check_classes, check_text
from nestnet.config import TrainConfig
from nestnet.datasets import Dataset, Split
from nestnet.net.stages import Bound
from nestnet.net.tensors import Shapes
from nestnet.pixels import Pixels
from nestnet.samples import Seen
from nestnet.tasks._augment import augmented

_SOFTMAX = ("softmax", "log_softmax")
_THRESHOLD = (
    ": the loss computes it, and a device compares a logit with 0 where a sigmoid would be "
    "compared with 0.5"
)


@dataclass(frozen=True)
class Result:
    """What one level reached on the test images."""

    level: int
    sparsity: float
    """Achieved, over all prunable weights."""
    score_float: float
    """Of the final weights, without quantization."""
    score_quantized: float
    """Of the fake-quantized network."""


Outputs = Tensor | tuple[Tensor, ...]
"""What a network makes of a batch: (n, c) or (n, c, h, w), a tuple of them of several outputs."""
Answers = Tensor | list[Any]
"""What a device makes of outputs, one entry an image."""


class Task(ABC):
    """What networks are trained for: targets, loss, score, and what outputs mean."""

    @property
    def name(self) -> str:
        """Return the name of its file."""
        return type(self).__module__.rpartition(".")[2]

    metric: str
    """What the score is called, a share 0..1 of which more is better."""
    model: str = ""
    """Which shipped model suits it where none is named; empty: that depends on the images."""
    takes: tuple[str, ...] = ()
    """Other tasks whose data it can be trained on."""
    of_logits: bool = True
    """Whether its loss and a device's answers are of logits, so that a network may not end in a
    function that keeps them between two numbers."""
    of_input: bool = False
    """Whether a device's answers are of the input, too."""
    takes_softmax: bool = False
    """Whether a network may end in a softmax all the same: it is trained on what that reads, and
    only the order of a device's outputs counts."""

    @abstractmethod
    def check_data(self, data: Dataset) -> None:
        """Refuse ``data`` whose targets or names the task could not use or would misread.

        Raises:
            UserError: names the data set's file, and what it must return.
        """

    def fitted(self, data: Dataset) -> Self:
        """Return the task as it is for ``data``, which it has checked: with what it has to know of
        the training split."""
        return self

    def defaults(self, given: TrainConfig) -> Mapping[str, Any]:
        """Return the settings of a training that nobody gave, beside those of the configuration.

        Args:
            given: what is known so far: data set, sparsities, and the run it starts from.
        """
        return {}

    @abstractmethod
    def outputs(self, data: Dataset) -> int:
        """Return how many outputs a network for ``data`` has."""

    @abstractmethod
    def names(self, data: Dataset) -> tuple[str, ...]:
        """Return what the outputs are called; empty where they have no names."""

    @abstractmethod
    def meanings(self, shapes: Shapes) -> tuple[Meaning, ...]:
        """Return what the outputs of a network, of these ``shapes`` (h, w, c), are in its file."""

    @abstractmethod
    def check_outputs(self, model: str, shapes: Shapes, data: Dataset) -> None:
        """Refuse a network called ``model`` whose outputs, of ``shapes`` (h, w, c), do not fit
        ``data``.

        Raises:
            UserError: it does not.
        """

    def check_ends(self, model: str, bounds: Sequence[Sequence[Bound | None]]) -> None:
        """Refuse a network called ``model`` that ends in a function the loss or a device's answers
        do not expect.

        Args:
            model: the network.
            bounds: the functions that keep each output between two numbers, as
                :attr:`nestnet.net.stages.Network.bounds` says.

        Raises:
            UserError: it does.
        """
        for bound in (each for parts in bounds for each in parts if each is not None):
            is_softmax = bound.function in _SOFTMAX
            if self.takes_softmax if is_softmax else not self.of_logits:
                continue
            raise UserError(
                model,
                f"the model ends in a {bound.function}, and the loss of the task {self.name} does "
                "not expect one",
                got=f"outputs in {bound.low:g}..{bound.high:g}",
                expected="the results of the last layer as they are"
                + (": logits" if self.of_logits else ""),
                action=f"Leave the {bound.function} out of the model"
                + (_THRESHOLD if self.of_logits and not is_softmax else ""),
            )

    def check_seen(self, seen: Seen) -> None:
        """Refuse what a network is fed of an image where a device could not compare it.

        Raises:
            UserError: its answers are of output and input, and a layer makes of the input what the
                network is fed.
        """
        if self.of_input and not seen.is_grid:
            raise UserError(
                "mean and std",
                f"the task {self.name} compares output and input, which are on different scales",
                got=f"{seen.told}, which a layer computes on the device",
                expected="one mean and std for all channels, 255 * mean a whole number",
                action="Leave --mean and --std out",
            )

    def fits(self, graph: Graph) -> bool:
        """Return whether a device can make answers of the outputs of ``graph``, its task recorded:
        whether outputs and settings are within the limits of its C."""
        return TASKS[self.name].fits(graph)

    @property
    def fitting(self) -> str:
        """Return which outputs and settings do, in words."""
        return TASKS[self.name].fitting

    def bounded(
        self, model: str, bounds: Sequence[Sequence[Bound | None]], data: Dataset, seen: Seen
    ) -> Self:
        """Return the task as it is for a network called ``model`` that may end in a function.

        Args:
            model: the network.
            bounds: as :meth:`check_ends` has accepted them.
            data: what it is trained on.
            seen: what it is fed of an image.

        Raises:
            UserError: what the outputs are compared with lies where the function never gets.
        """
        return self

    def settings(
        self, graph: Graph, trained: Callable[[int], Answers] | None
    ) -> Mapping[str, Sequence[float]]:
        """Return the numbers that a device needs to make answers of outputs, by their names.

        Args:
            graph: the exported network, its task not yet recorded.
            trained: gives a level's answers to the training images; None before the training, when
                any numbers of the right kind do.
        """
        return {}

    def check_names(self, names: Sequence[str]) -> None:
        """Refuse names of outputs that a file cannot hold.

        Raises:
            UserError: there is one.
        """
        check_text(names)

    def check_same(
        self, where: str, trained: Sequence[str], found: Sequence[str], action: str
    ) -> None:
        """Refuse data whose names are not the ones a network was trained on.

        Args:
            where: what was trained, for the message.
            trained: the network's names.
            found: those of the data.
            action: what the user can do.

        Raises:
            UserError: they differ.
        """
        check_classes(where, trained, found, action)

    def oddities(self, data: Dataset) -> tuple[str, ...]:
        """Return what may make the scores of ``data`` say less than they seem to, in sentences."""
        return ()

    def training(self, split: Split) -> Split:
        """Return what the network is trained on of the training ``split``."""
        return split

    @abstractmethod
    def targets(self, split: Split) -> Tensor:
        """Return what the network is to answer to each image of ``split``, shape (n, ...)."""

    def augment(
        self, pixels: Tensor, targets: Tensor, generator: torch.Generator, how: str, seen: Pixels
    ) -> tuple[Tensor, Tensor]:
        """Return a batch's images and targets as one epoch sees them: here images alone move.

        Args:
            pixels: uint8 (n, h, w, c).
            targets: (n, ...), as :meth:`targets` made them.
            generator: source of the random numbers, on the CPU.
            how: "none", "crop", "flip-crop" or "flips".
            seen: what the network sees of a pixel.
        """
        return augmented(pixels, generator, how, seen)[0], targets

    @abstractmethod
    def loss(
        self, outputs: Sequence[Any], targets: Tensor, images: Tensor, config: TrainConfig
    ) -> Tensor:
        """Return the loss, a scalar, of some levels on one batch.

        Args:
            outputs: of each level that runs, :data:`Outputs`, the densest level's first.
            targets: (n, ...).
            images: what the network was fed, (n, c, h, w).
            config: its weights.
        """

    @abstractmethod
    def answers(self, outputs: Any, images: Tensor) -> Answers:
        """Return what a device makes of ``outputs`` after the network was fed ``images``."""

    @abstractmethod
    def score(self, answers: Any, targets: Tensor) -> float:
        """Return how good all ``answers`` are, 0..1."""

    @abstractmethod
    def report(self, reached: Result, answers: Any, targets: Tensor, data: Dataset) -> Any:
        """Return what :func:`nestnet.evaluate` says of a level.

        Args:
            reached: its scores.
            answers: of the fake-quantized network, to every test image.
            targets: of the test images.
            data: where they come from.
        """
