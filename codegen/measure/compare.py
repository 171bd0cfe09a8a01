"""Run a network on a board at every level and compare it with the reference, bit by bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from codegen import tasks
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
    images: int
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
    not be located."""
    index: int
    """Into the layer's output flattened in h, w, c order."""
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
    expected = []
    for position, level in enumerate(levels):
        expected.append(reference.run(packed.graph, inputs, level))
        if progress is not None:
            progress("reference", (position + 1) * images, len(levels) * images)
    differences = []
    for position, level in enumerate(levels):
        device = [output[position] for output in result.outputs]
        image = _first_wrong(device, expected[position])
        if image is not None:
            sample = [given[image : image + 1] for given in inputs]
            got = [output[image] for output in device]
            differences.append(locate(built, packed, sample, image, level, got))
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
            _level_report(built, graph, inputs, result, expected[position], answers, position)
            for position in range(len(levels))
        ),
        differences=tuple(differences),
    )


def _level_report(
    built: Built,
    graph: Graph,
    inputs: Sequence[Int8Array],
    result: RunResult,
    expected: Sequence[Int8Array],
    targets: Targets | None,
    position: int,
) -> LevelReport:
    task = tasks.of(graph)
    level = result.levels[position]
    device = [output[position] for output in result.outputs]
    on_reference, on_device = (Outcome(graph, level, inputs, each) for each in (expected, device))
    return LevelReport(
        level=level,
        name=graph.levels[level].name,
        sparsity=graph.levels[level].sparsity,
        accuracy_float=graph.levels[level].accuracy_float,
        accuracy_reference=_score(task, on_reference, targets),
        accuracy_device=_score(task, on_device, targets),
        details={} if task is None else task.details(on_device, targets),
        bit_exact=_first_wrong(device, expected) is None,
        images=result.images,
        instructions=None if result.instructions is None else round(result.instructions[position]),
        cycles=None if result.cycles is None else round(result.cycles[position]),
        flash_bytes=built.sizes.flash_bytes,
        ram_bytes=built.sizes.ram_bytes,
        weight_bytes=built.info.levels[level].weight_bytes,
    )


def _score(task: Task | None, outcome: Outcome, targets: Targets | None) -> float | None:
    """Return the task's score; None without a task or targets."""
    return None if task is None or targets is None else task.score(outcome, targets)


def _first_wrong(got: Sequence[Int8Array], expected: Sequence[Int8Array]) -> int | None:
    """Return the first sample of which any output (n, h, w, c) differs; None if none does."""
    wrong = np.zeros(len(expected[0]), np.bool_)
    for one, other in zip(got, expected, strict=True):
        wrong |= (one != other).reshape(len(wrong), -1).any(axis=1)
    return int(np.flatnonzero(wrong)[0]) if wrong.any() else None


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
