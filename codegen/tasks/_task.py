"""What a task has to say of a network's outputs: the twin in NumPy of what a device computes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from codegen.errors import UserError
from codegen.graph import reference
from codegen.graph.ir import Graph, Int8Array, Uint8Array

Targets = NDArray[Any]
"""What there is to answer to each sample, shape (n, ...), as a task says."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one level made of some samples."""

    graph: Graph
    level: int
    inputs: Sequence[Int8Array]
    """(n, h, w, c) for each of the graph's inputs."""
    outputs: Sequence[Int8Array]
    """(n, h, w, c) for each of the graph's outputs."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What one level says of a sample."""

    index: int
    """The level."""
    output: Int8Array
    """As nn_run writes it, flat; several outputs one after the other."""
    real: NDArray[np.float64]
    """The real values the outputs stand for, flat."""
    text: str
    """The answer in words, for a comment."""


@dataclass(frozen=True)
class Frame:
    """Where a photo lies in the input that was made of it."""

    factors: tuple[float, float]
    """Of x and y, from the photo to the input."""
    offset: tuple[float, float]
    """x and y of the photo's corner, in pixels of the input."""
    size: tuple[int, int]
    """Width and height of the photo."""

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return the place within the photo, in its pixels, of one in the input."""
        sides = zip((x, y), self.factors, self.offset, self.size, strict=True)
        left, top = (min(max((at - o) / f, 0.0), float(most)) for at, f, o, most in sides)
        return left, top


class Task(ABC):
    """What outputs mean, and what they are worth beside the targets of the data."""

    @property
    def name(self) -> str:
        """Return the name of its file."""
        return type(self).__module__.rpartition(".")[2]

    fitting: str
    """The outputs that it fits, in words."""
    metric: str
    """What the score is called in tables."""
    names_word: ClassVar[str] = "Classes"
    """What texts call class names; "" where no output stands for one."""
    is_guessed: ClassVar[bool] = False
    """Whether a network whose file names no task is taken for one of this, if it fits."""
    has_classes: ClassVar[bool] = False
    """Whether targets are class numbers: answers then have `classes`, details a `confusion`."""
    keeps_proportions: ClassVar[bool] = False
    """Whether images are scaled as a whole, what is left over being mid-grey."""
    runs_network: ClassVar[bool] = False
    """Whether a function of the C runtime runs the network itself."""
    firmware: tuple[str, ...] = ()
    """Functions of the C runtime that compute the same answer on a device."""

    @abstractmethod
    def fits(self, graph: Graph) -> bool:
        """Return whether outputs and settings of ``graph`` are those of this task."""

    def constants(self, graph: Graph) -> Mapping[str, Any] | None:
        """Return what ``templates/tasks/<task>.j2`` makes C of; None for a task without one."""
        return None

    def takes_any_size(self, graph: Graph) -> bool:
        """Return whether :meth:`answers` takes images of other sizes than the network's input."""
        return False

    def ram_bytes(self, graph: Graph) -> Mapping[str, int]:
        """Return the bytes that the answer takes on a device beside the outputs, by what lies
        there."""
        return {}

    def answers(self, graph: Graph, image: Int8Array) -> tuple[Answer, ...]:
        """Return the answer of every level, sparsest first, to one int8 ``image`` (h, w, c).

        Raises:
            UserError: an image of another shape than the network's input, or a network of another
                task.
        """
        if not self.fits(graph):
            values = map(graph.value, graph.outputs)
            raise UserError(
                f"network {graph.name}",
                "its outputs are not those of the task",
                got=", ".join(f"{v.meaning} {'x'.join(map(str, v.shape))}" for v in values),
                expected=self.fitting,
                action="Choose a network that was trained for it",
            )
        found = []
        for level in range(len(graph.levels)):
            inputs = (image[None],)
            outputs = reference.run(graph, inputs, level)
            found.append(self.answer(Outcome(graph, level, inputs, outputs)))
        return tuple(found)

    @abstractmethod
    def answer(self, outcome: Outcome) -> Answer:
        """Return the answer to the only sample of ``outcome``."""

    @abstractmethod
    def as_json(self, graph: Graph, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        """Return ``answers`` as plain data for a JSON file, one entry per level."""

    def on_photo(self, levels: list[dict[str, Any]], frame: Frame) -> list[dict[str, Any]]:
        """Return what :meth:`as_json` returned, places being those of the photo in ``frame``."""
        return levels

    def picture(self, graph: Graph, pixels: Uint8Array, answer: Answer) -> Uint8Array | None:
        """Return ``pixels`` (h, w, 1 or 3) with the answer drawn on them, (h, w, 3); None where
        there is nothing to draw."""
        return None

    @abstractmethod
    def recorded(self, outcome: Outcome) -> NDArray[Any]:
        """Return the answer to every sample as ``templates/answers/<task>.j2`` lays it out in
        memory, a row of numbers each, of the type there."""

    def found(self, answers: NDArray[Any]) -> NDArray[np.bool_]:
        """Return for which samples the ``answers``, as :meth:`recorded` has them, name anything;
        where nothing is named there is nothing to compare."""
        return np.ones(len(answers), np.bool_)

    @abstractmethod
    def score(self, outcome: Outcome, targets: Targets) -> float:
        """Return how good the outputs are for ``targets``, 0..1."""

    @abstractmethod
    def details(self, outcome: Outcome, targets: Targets | None) -> Mapping[str, Any]:
        """Return what a report says beside the score, ready for JSON; ``targets`` may be unknown.

        The keys are the same with and without targets. ``rows``, where it is one of them, is a list
        of a table's rows: what they name, then numbers by name.
        """


def real_values(graph: Graph, level: int, outputs: Sequence[Int8Array]) -> NDArray[np.float64]:
    """Return what ``outputs`` stand for, flat, one output after the other."""
    values = map(graph.value, graph.outputs)
    return np.concatenate(
        [
            (output.reshape(-1).astype(np.float64) - value.zero_point) * value.scale[level]
            for value, output in zip(values, outputs, strict=True)
        ]
    )


def share(part: float, whole: float) -> float | None:
    """Return ``part / whole``; None of nothing, which is neither good nor bad."""
    return float(part / whole) if whole else None


def flat(outputs: Sequence[Int8Array]) -> Int8Array:
    """Return ``outputs`` one after the other."""
    return np.concatenate([output.reshape(-1) for output in outputs])


def names_of(graph: Graph, count: int, word: str = "") -> tuple[str, ...]:
    """Return the ``count`` names of what ``graph`` tells apart; numbers behind ``word`` where its
    file has others."""
    names = graph.provenance.class_names
    return names if len(names) == count else tuple(f"{word}{index}" for index in range(count))


def int8_settings(graph: Graph, name: str) -> Int8Array:
    """Return the setting called ``name`` as int8 numbers; none where it is missing or not such."""
    numbers = () if graph.task is None else graph.task.numbers(name)
    fit = all(number.is_integer() and -128 <= number <= 127 for number in numbers)
    return np.array(numbers if fit else (), np.int8)
