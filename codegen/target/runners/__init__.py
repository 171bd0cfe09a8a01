"""Run a built project on the machine its board names: this computer, an emulator, a real board."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codegen.graph.ir import Int8Array, Uint8Array
from codegen.target.emulator import counts
from codegen.target.emulator.counts import Counts
from codegen.target.runners import host, protocol, pyocd, qemu
from codegen.target.runners.progress import Progress, watch
from codegen.target.toolchain import Built

Execute = Callable[[Built, Path, int, Mapping[str, int]], Counts | None]
"""Run the runner of a project in a folder that holds request.bin, for so many levels, with the
arguments of the emulator plugin that describe a memory system."""

_EXECUTE: dict[str, Execute] = {
    "host": host.execute,
    "qemu": qemu.execute,
    "pyocd": pyocd.execute,
}


@dataclass(frozen=True, eq=False)
class RunResult:
    """What a machine computed and what that took."""

    levels: tuple[int, ...]
    images: int
    outputs: tuple[Int8Array, ...]
    """Each (levels, images, h, w, c)."""
    answers: Uint8Array | None
    """What the task's C says of the outputs, (levels, images, bytes); None without a task."""
    instructions: tuple[float, ...] | None
    """Executed per inference, averaged over the images (exact sums); None where not counted."""
    layer_instructions: dict[str, tuple[float, ...]]
    """The same by C function, for the functions of layers; empty where not counted."""
    other_instructions: dict[str, tuple[float, ...]]
    """The same for every other function."""
    cycles: tuple[float, ...] | None
    """Measured by the board's cycle counter per inference; None on the host and in emulators."""
    layer_cycles: dict[str, tuple[float, ...]]
    counts: Counts | None
    """What the emulator recorded, one slot per entry of ``levels``."""
    stack_bytes: int | None
    """Deepest stack below the caller of nn_run; None where not known."""


def run(
    built: Built,
    inputs: Sequence[Int8Array],
    levels: Sequence[int],
    memory: Mapping[str, int] | None = None,
    progress: Progress | None = None,
    *,
    count_answers: bool = False,
) -> RunResult:
    """Run int8 ``inputs``, each (n, h, w, c), at each of ``levels``.

    ``memory`` describes caches the emulator shall simulate
    (:func:`codegen.target.memory_system.plugin_arguments`); other machines ignore it.
    ``progress`` is called from another thread while the machine runs.
    With ``count_answers`` an emulator counts what the task's C takes after each inference, instead
    of the inference.

    Raises:
        UserError: the machine is missing, or the program failed; the message has its status.
    """
    with tempfile.TemporaryDirectory(prefix="nestnet-run-") as name:
        folder = Path(name)
        mode = protocol.MODE_ANSWERS if count_answers else protocol.MODE_RUN
        protocol.write_request(folder, inputs, levels, mode)
        images = len(inputs[0])
        inferences = images * len(levels)
        with watch(folder / protocol.OUTPUTS, built.info.output_bytes, inferences, progress):
            recorded = _EXECUTE[built.board.runner](built, folder, len(levels), memory or {})
        answer = protocol.read_answer(folder, built.info, images, levels)
    layers = {layer.c_name for layer in built.info.layers}
    by_function: dict[str, tuple[float, ...]] = {}
    instructions = None
    if recorded is not None:
        n = recorded.windows_per_slot
        instructions = tuple(total / n for total in recorded.instructions())
        for function, totals in recorded.by_function(counts.functions(built.runner_elf)).items():
            by_function[function] = tuple(total / n for total in totals)
    cycles = layer_cycles = None
    if answer.cycles is not None:
        cycles = tuple(sum(row) / images for row in answer.cycles)
        layer_cycles = {
            layer.c_name: tuple(row[layer.index] / images for row in answer.cycles)
            for layer in built.info.layers
        }
    return RunResult(
        levels=tuple(levels),
        images=images,
        outputs=answer.outputs,
        answers=answer.answers,
        instructions=instructions,
        layer_instructions={k: v for k, v in by_function.items() if k in layers},
        other_instructions={k: v for k, v in by_function.items() if k not in layers},
        cycles=cycles,
        layer_cycles=layer_cycles or {},
        counts=recorded,
        stack_bytes=answer.stack_bytes or None,
    )


def count_layers(
    built: Built, inputs: Sequence[Int8Array], levels: Sequence[int]
) -> dict[str, tuple[int, ...]]:
    """Return how many instructions every function executed, layer by layer, on an emulated board.

    The counts of a function are those of level after level; of each level its layers in order, then
    what follows the last one; summed over the images.
    """
    with tempfile.TemporaryDirectory(prefix="nestnet-layers-") as name:
        folder = Path(name)
        protocol.write_request(folder, inputs, levels, mode=protocol.MODE_LAYERS)
        slots = len(levels) * (len(built.info.layers) + 1)
        recorded = _EXECUTE[built.board.runner](built, folder, slots, {})
        protocol.read_answer(folder, built.info, len(inputs[0]), levels)
    assert recorded is not None, "only emulators count"
    return recorded.by_function(counts.functions(built.runner_elf))


def trace(built: Built, inputs: Sequence[Int8Array], level: int) -> tuple[bytes, ...]:
    """Run one sample, (1, h, w, c) per input; return the whole arena as it is after each layer."""
    with tempfile.TemporaryDirectory(prefix="nestnet-trace-") as name:
        folder = Path(name)
        protocol.write_request(folder, inputs, [level], mode=protocol.MODE_TRACE)
        _EXECUTE[built.board.runner](built, folder, 1, {})
        protocol.read_answer(folder, built.info, 1, [level])
        return protocol.read_trace(folder, built.info)
