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
from codegen.tasks import Task


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
    """Name of the first layer whose output differs; "output" if it could not be located."""
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
    images: Int8Array,
    targets: Sequence[int] | None,
    levels: Sequence[int],
    progress: Progress | None = None,
) -> Report:
    """Run ``images`` (n, h, w, c) on the project's board and on the reference.

    ``graph`` must be the one the project was generated from; ``progress`` is told how far it is.

    Raises:
        UserError: the machine is missing or the program failed.
    """
    packed = lowering.lower(graph, built.info.target)
    result = runners.run(built, images, levels, progress=progress)
    expected = []
    for position, level in enumerate(levels):
        expected.append(reference.run_one(packed.graph, images, level))
        if progress is not None:
            progress("reference", (position + 1) * len(images), len(levels) * len(images))
    differences = []
    for position, level in enumerate(levels):
        wrong = (result.outputs[position] != expected[position]).reshape(len(images), -1)
        if wrong.any():
            image = int(np.flatnonzero(wrong.any(axis=1))[0])
            differences.append(
                locate(built, packed, images[image], image, level, result.outputs[position][image])
            )
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
            _level_report(built, graph, result, expected[position], targets, position)
            for position in range(len(levels))
        ),
        differences=tuple(differences),
    )


def _level_report(
    built: Built,
    graph: Graph,
    result: RunResult,
    expected: Int8Array,
    targets: Sequence[int] | None,
    position: int,
) -> LevelReport:
    task = tasks.of(graph)
    level = result.levels[position]
    device = result.outputs[position]
    return LevelReport(
        level=level,
        name=graph.levels[level].name,
        sparsity=graph.levels[level].sparsity,
        accuracy_float=graph.levels[level].accuracy_float,
        accuracy_reference=_score(task, expected, targets),
        accuracy_device=_score(task, device, targets),
        details={} if task is None else task.details(device, targets),
        bit_exact=bool(np.array_equal(device, expected)),
        images=result.images,
        instructions=None if result.instructions is None else round(result.instructions[position]),
        cycles=None if result.cycles is None else round(result.cycles[position]),
        flash_bytes=built.sizes.flash_bytes,
        ram_bytes=built.sizes.ram_bytes,
        weight_bytes=built.info.levels[level].weight_bytes,
    )


def _score(task: Task | None, outputs: Int8Array, targets: Sequence[int] | None) -> float | None:
    """Return the task's score of ``outputs`` (n, h, w, c); None without a task or targets."""
    return None if task is None or targets is None else task.score(outputs, targets)


def locate(
    built: Built, packed: Program, pixels: Int8Array, image: int, level: int, got: Int8Array
) -> Difference:
    """Find the first layer whose output differs, by looking into the arena after each layer.

    Args:
        built: the project that ran.
        packed: what it was generated from.
        pixels: the image (h, w, c) whose output ``got`` is wrong, at ``level``.
        image: its number, for the message.
        level: where it went wrong.
        got: the board's output (h, w, c).
    """
    values = reference.run_values(packed.graph, (pixels[None],), level)
    arenas = runners.trace(built, pixels, level)
    for layer in packed.layers:
        expected = values[layer.output.value].reshape(-1)
        if layer.output.place == "output":
            actual = got.reshape(-1)
        else:
            start = layer.output.offset_bytes
            actual = np.frombuffer(arenas[layer.index], np.int8, expected.size, start)
        wrong = np.flatnonzero(actual != expected)
        if wrong.size:
            index = int(wrong[0])
            return Difference(
                level, image, layer.name, index, int(actual[index]), int(expected[index])
            )
    expected = values[packed.graph.only_output.name].reshape(-1)
    index = int(np.flatnonzero(got.reshape(-1) != expected)[0])
    return Difference(
        level, image, "output", index, int(got.reshape(-1)[index]), int(expected[index])
    )
