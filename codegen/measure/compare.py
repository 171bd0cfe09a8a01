"""Run a network on a board at every level and compare it with the reference, bit by bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen import tasks
from codegen.errors import UserError
from codegen.graph import reference
from codegen.graph.ir import Graph, Int8Array
from codegen.lower import lowering
from codegen.program.program import Program
from codegen.target import runners
from codegen.target.runners import RunResult
from codegen.target.runners.progress import Progress
from codegen.target.sizes import Sizes
from codegen.target.toolchain import Built
from codegen.tasks import Outcome, Targets, Task


@dataclass(frozen=True)
class LevelReport:
    """One level on one board."""

    level: int
    name: str
    sparsity: float
    accuracy_float: float | None
    """Of the network before quantization, on its whole test set."""
    accuracy_reference: float | None
    """The score of the network's task, of the reference on the images of this run; None without
    targets. Of a classification it is top-1 accuracy."""
    accuracy_device: float | None
    details: Mapping[str, Any]
    """What the task says beside the score; keys of the level's own in a JSON file."""
    bit_exact: bool
    """Whether outputs and answers of all images are those of the reference."""
    images: int
    equal_outputs: int
    """Images whose outputs have the reference's bits."""
    equal_answers: int | None
    """Images to which the task's C on the board gives the answer, bit by bit, that NumPy gives to
    the reference's outputs; None without a task."""
    named_answers: int | None
    """Images to which that answer names anything, such as a box: where none does, comparing says
    nothing."""
    distinct_answers: int | None
    """How many of these answers differ from each other."""
    instructions: int | None
    """Per inference: exact sum over the images, divided by their number, rounded."""
    cycles: int | None
    """Per inference, measured by the board's counter; None where there is none."""
    flash_bytes: int
    """Of the example program; the levels share their weights, so it is the same for all."""
    ram_bytes: int
    """Of the example program, its stack reserve included."""
    weight_bytes: int
    """Flash this level reads."""


@dataclass(frozen=True)
class Difference:
    """The first value in which a board differs from the reference."""

    level: int
    image: int
    layer: str
    """Name of the first layer whose output differs; "output", of several with its name, if it could
    not be located; "answer" with the task's name where outputs are equal and answers differ."""
    index: int
    """Into the layer's output flattened in h, w, c order, or into the answer's numbers."""
    got: int
    expected: int

    def __str__(self) -> str:
        """Return the difference as one line of text."""
        return (
            f"level {self.level}, image {self.image}: layer {self.layer}, index {self.index}: "
            f"got {self.got}, expected {self.expected}"
        )


@dataclass(frozen=True)
class Report:
    """Everything `nestnet run` knows of a network on a board."""

    network: str
    board: str
    title: str
    kernels: str
    graph_sha256: str
    class_names: tuple[str, ...]
    """One per output; empty where they are not known."""
    elf: str
    weights_bytes: int
    arena_bytes: int
    stack_bytes: int | None
    sizes: Sizes
    levels: tuple[LevelReport, ...]
    differences: tuple[Difference, ...]
    """At most one per level."""

    @property
    def bit_exact(self) -> bool:
        """Whether every level agrees with the reference."""
        return all(level.bit_exact for level in self.levels)

    def as_json(self) -> dict[str, Any]:
        """Return plain data for a JSON file."""
        plain = asdict(self)
        for level in plain["levels"]:
            level |= level.pop("details")
        return plain


def compare(
    built: Built,
    graph: Graph,
    inputs: Sequence[Int8Array],
    targets: Targets | Sequence[int] | None,
    levels: Sequence[int],
    progress: Progress | None = None,
) -> Report:
    """Run int8 ``inputs``, each (n, h, w, c), on the project's board and on the reference.

    ``graph`` must be the one the project was generated from; ``progress`` is told how far it is.

    Raises:
        UserError: the machine is missing or the program failed.
    """
    images = len(inputs[0])
    answers = None if targets is None else np.asarray(targets)
    packed = lowering.lower(graph, built.info.target)
    result = runners.run(built, inputs, levels, progress=progress)
    compared = []
    for position, level in enumerate(levels):
        expected = reference.run(packed.graph, inputs, level)
        compared.append(_compared(graph, inputs, expected, result, position))
        if progress is not None:
            progress("reference", (position + 1) * images, len(levels) * images)
    differences = (_difference(built, packed, inputs, found) for found in compared)
    return Report(
        network=built.info.network,
        board=built.board.id,
        title=built.board.title,
        kernels=built.info.target.kernels,
        graph_sha256=built.info.graph_sha256,
        class_names=graph.provenance.class_names,
        elf=str(built.firmware_elf),
        weights_bytes=built.info.weights_bytes,
        arena_bytes=built.info.arena_bytes,
        stack_bytes=result.stack_bytes,
        sizes=built.sizes,
        levels=tuple(
            _level_report(built, result, found, answers, position)
            for position, found in enumerate(compared)
        ),
        differences=tuple(found for found in differences if found is not None),
    )


@dataclass(frozen=True, eq=False)
class _Compared:
    """What one level made of the images, on the reference and on the board."""

    reference: Outcome
    device: Outcome
    equal_outputs: NDArray[np.bool_]
    """Of each image."""
    expected_answers: NDArray[Any] | None
    """As the task records them, a row of numbers for each image; None without a task."""
    device_answers: NDArray[Any] | None

    @property
    def equal_answers(self) -> NDArray[np.bool_] | None:
        """Return whether the answer to each image is equal; None without a task."""
        if self.expected_answers is None:
            return None
        equal: NDArray[np.bool_] = (self.expected_answers == self.device_answers).all(axis=1)
        return equal


def _compared(
    graph: Graph,
    inputs: Sequence[Int8Array],
    expected: Sequence[Int8Array],
    result: RunResult,
    position: int,
) -> _Compared:
    """Compare what is at a position of ``result`` with the ``expected`` outputs.

    Raises:
        UserError: the board's answers are not those of the network's task.
    """
    device = [output[position] for output in result.outputs]
    equal = np.ones(result.images, np.bool_)
    for one, other in zip(device, expected, strict=True):
        equal &= (one == other).reshape(len(equal), -1).all(axis=1)
    level, task = result.levels[position], tasks.of(graph)
    outcomes = Outcome(graph, level, inputs, expected), Outcome(graph, level, inputs, device)
    if task is None:
        return _Compared(*outcomes, equal, None, None)
    rows = task.recorded(outcomes[0])
    written = None if result.answers is None else result.answers[position]
    if written is None or written.nbytes != rows.nbytes:
        raise UserError(
            "runner",
            f"the program does not write answers of {task.name}",
            got="none" if written is None else f"{written.shape[1]} bytes each",
            expected=f"{rows.nbytes // len(rows)} bytes each",
            action="Generate and build the project again: nestnet codegen",
        )
    return _Compared(*outcomes, equal, rows, written.view(rows.dtype))


def _difference(
    built: Built, packed: Program, inputs: Sequence[Int8Array], found: _Compared
) -> Difference | None:
    """Return the first difference of a level; None where there is none."""
    level = found.device.level
    if not found.equal_outputs.all():
        image = int(found.equal_outputs.argmin())
        sample = [given[image : image + 1] for given in inputs]
        got = [output[image] for output in found.device.outputs]
        return locate(built, packed, sample, image, level, got)
    equal = found.equal_answers
    if equal is None or equal.all():
        return None
    assert found.expected_answers is not None and found.device_answers is not None
    image = int(equal.argmin())
    expected, actual = found.expected_answers[image], found.device_answers[image]
    index = int((expected == actual).argmin())
    task = tasks.of(found.device.graph)
    assert task is not None
    where = f"answer of {task.name}"
    return Difference(level, image, where, index, int(actual[index]), int(expected[index]))


def _level_report(
    built: Built,
    result: RunResult,
    found: _Compared,
    targets: Targets | None,
    position: int,
) -> LevelReport:
    graph, level = found.device.graph, found.device.level
    task, answers = tasks.of(graph), found.equal_answers
    named = distinct = None
    if task is not None and found.expected_answers is not None:
        named = int(task.found(found.expected_answers).sum())
        distinct = len(np.unique(found.expected_answers, axis=0))
    return LevelReport(
        level=level,
        name=graph.levels[level].name,
        sparsity=graph.levels[level].sparsity,
        accuracy_float=graph.levels[level].accuracy_float,
        accuracy_reference=_score(task, found.reference, targets),
        accuracy_device=_score(task, found.device, targets),
        details={} if task is None else task.details(found.device, targets),
        bit_exact=bool(found.equal_outputs.all() and (answers is None or answers.all())),
        images=result.images,
        equal_outputs=int(found.equal_outputs.sum()),
        equal_answers=None if answers is None else int(answers.sum()),
        named_answers=named,
        distinct_answers=distinct,
        instructions=None if result.instructions is None else round(result.instructions[position]),
        cycles=None if result.cycles is None else round(result.cycles[position]),
        flash_bytes=built.sizes.flash_bytes,
        ram_bytes=built.sizes.ram_bytes,
        weight_bytes=built.info.levels[level].weight_bytes,
    )


def _score(task: Task | None, outcome: Outcome, targets: Targets | None) -> float | None:
    """Return the task's score; None without a task or targets."""
    return None if task is None or targets is None else task.score(outcome, targets)


def locate(
    built: Built,
    packed: Program,
    sample: Sequence[Int8Array],
    image: int,
    level: int,
    got: Sequence[Int8Array],
) -> Difference:
    """Find the first layer whose output differs, by looking into the arena after each layer.

    Args:
        built: the project that ran.
        packed: what it was generated from.
        sample: the inputs (1, h, w, c) whose outputs ``got`` are wrong, at ``level``.
        image: its number, for the message.
        level: where it went wrong.
        got: the board's outputs (h, w, c).
    """
    values = reference.run_values(packed.graph, sample, level)
    arenas = runners.trace(built, sample, level)
    for layer in packed.layers:
        expected = values[layer.output.value].reshape(-1)
        if layer.output.place == "output":
            actual = got[0].reshape(-1)
        else:
            start = layer.output.offset_bytes
            actual = np.frombuffer(arenas[layer.index], np.int8, expected.size, start)
        wrong = np.flatnonzero(actual != expected)
        if wrong.size:
            index = int(wrong[0])
            return Difference(
                level, image, layer.name, index, int(actual[index]), int(expected[index])
            )
    name, actual = next(
        (name, output.reshape(-1))
        for name, output in zip(packed.graph.outputs, got, strict=True)
        if not np.array_equal(output, values[name][0])
    )
    expected = values[name].reshape(-1)
    index = int(np.flatnonzero(actual != expected)[0])
    where = "output" if len(got) == 1 else f"output {name}"
    return Difference(level, image, where, index, int(actual[index]), int(expected[index]))
