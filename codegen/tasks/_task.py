"""What a task has to say of a network's outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import Graph, Int8Array

Targets = NDArray[Any]
"""What there is to answer to each sample, shape (n, ...), as a task says."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What one level says of an image."""

    index: int
    """The level."""
    output: Int8Array
    """As nn_run writes it, flat."""
    real: NDArray[np.float64]
    """The real values the outputs stand for, flat."""
    text: str
    """The answer in words, for a comment."""


class Task(ABC):
    """What outputs mean, and what they are worth beside the targets of the data."""

    fitting: str
    """The outputs that it fits, in words."""
    has_classes: bool = False
    """Whether targets are class numbers: answers then have `classes`, details a `confusion`."""
    firmware: tuple[str, ...] = ()
    """Functions of the C runtime that compute the same answer on a device."""

    @abstractmethod
    def fits(self, graph: Graph) -> bool:
        """Return whether the outputs of ``graph`` are those of this task."""

    @abstractmethod
    def answers(self, graph: Graph, image: Int8Array) -> tuple[Answer, ...]:
        """Return the answer of every level, sparsest first, to one int8 ``image`` (h, w, c).

        Raises:
            UserError: an image of another shape than the network's input, or a network of another
                task.
        """

    @abstractmethod
    def as_json(self, graph: Graph, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        """Return ``answers`` as plain data for a JSON file, one entry per level."""

    @abstractmethod
    def score(self, outputs: Int8Array, targets: Targets) -> float:
        """Return how good ``outputs`` (n, h, w, c) are for ``targets``, 0..1."""

    @abstractmethod
    def details(self, outputs: Int8Array, targets: Targets | None) -> Mapping[str, Any]:
        """Return what a report says beside the score, ready for JSON; ``targets`` may be unknown.

        The keys are the same with and without targets.
        """
