"""Measure what every layer costs at every level: instructions, and cycles estimated from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from codegen import runners
from codegen.board import Board
from codegen.cycles import counts, elf, estimate, memory
from codegen.cycles.estimate import Estimate
from codegen.cycles.memory import Memory, Span
from codegen.ir import Int8Array
from codegen.runners import RunResult
from codegen.sizes import Sizes
from codegen.toolchain import Built

EMULATOR = {"cortex-m4": "qemu_m4", "cortex-m7": "qemu_m7"}
"""The emulated board that stands for a chip with this core."""

Cycles = tuple[int, int]
"""Fewest and most; equal where the memory model gives one number."""


@dataclass(frozen=True)
class LayerBench:
    """What one layer costs at every level, per inference."""

    index: int
    name: str
    kernel: str
    reason: str
    flash_bytes: int
    macs: tuple[int, ...]
    instructions: tuple[int, ...] | None
    """Executed; the code the compiler moved out of the layer's function is under "other"."""
    estimated_cycles: tuple[Cycles, ...] | None
    """From the executed instructions; not measured."""
    modelled_cycles: tuple[int, ...]
    """What packing reckoned with before there was code; not measured."""
    measured_cycles: tuple[int, ...] | None
    """By the board's counter."""


@dataclass(frozen=True)
class Bench:
    """What a network costs on a board, per level and per layer, per inference."""

    network: str
    board: str
    title: str
    executed_on: str
    """The board the code ran on: for a chip, the emulated board with the same core."""
    images: int
    levels: tuple[str, ...]
    macs: tuple[int, ...]
    instructions: tuple[int, ...] | None
    other_instructions: tuple[int, ...] | None
    """Outside the layers' own functions: nn_run, copying, arithmetic helpers."""
    estimated_cycles: tuple[Cycles, ...] | None
    estimate_model: str | None
    estimate_note: str | None
    """Print it beside every estimate."""
    modelled_cycles: tuple[int, ...]
    measured_cycles: tuple[int, ...] | None
    stack_bytes: int | None
    sizes: Sizes
    layers: tuple[LayerBench, ...]

    def as_json(self) -> dict[str, Any]:
        """Return plain data for a JSON file."""
        return asdict(self)


def measure(
    built: Built, images: Int8Array, levels: Sequence[int], target: Board, sizes: Sizes
) -> Bench:
    """Run ``images`` (n, h, w, c) and add up what was executed.

    Args:
        built: the project to run.
        images: int8 images.
        levels: all levels, in order.
        target: the board whose memory the estimate is for; has the same core as ``built``'s.
        sizes: of the program on ``target``.

    Raises:
        UserError: the machine is missing or the program failed.
    """
    model = memory.of_board(target)
    emulated = built.board.runner == "qemu"
    events = memory.plugin_arguments(model, built.board) if emulated else {}
    result = runners.run(built, images, levels, events)
    estimates = _estimates(built, result, target, model)
    info = built.info
    other = None
    if result.instructions is not None:
        other = _rounded(
            [
                total - sum(per_level[position] for per_level in result.layer_instructions.values())
                for position, total in enumerate(result.instructions)
            ]
        )
    layers = tuple(
        LayerBench(
            index=layer.index,
            name=layer.name,
            kernel=layer.kernel,
            reason=layer.reason,
            flash_bytes=layer.flash_bytes,
            macs=layer.macs,
            instructions=_of(result.layer_instructions, layer.c_name),
            estimated_cycles=_layer_cycles(estimates, layer.c_name, result),
            modelled_cycles=layer.cycles,
            measured_cycles=_of(result.layer_cycles, layer.c_name),
        )
        for layer in info.layers
    )
    return Bench(
        network=info.network,
        board=target.id,
        title=target.title,
        executed_on=built.board.id,
        images=result.images,
        levels=tuple(level.name for level in info.levels),
        macs=tuple(level.macs for level in info.levels),
        instructions=None if result.instructions is None else _rounded(result.instructions),
        other_instructions=other,
        estimated_cycles=(
            tuple(_per_image(item.total.cycles, result) for item in estimates) or None
        ),
        estimate_model=estimates[0].model if estimates else None,
        estimate_note=estimates[0].note if estimates else None,
        modelled_cycles=tuple(level.cycles for level in info.levels),
        measured_cycles=None if result.cycles is None else _rounded(result.cycles),
        stack_bytes=result.stack_bytes,
        sizes=sizes,
        layers=layers,
    )


def _estimates(
    built: Built, result: RunResult, target: Board, model: Memory
) -> tuple[Estimate, ...]:
    """Return one estimate per level, summed over the images; none where nothing was counted."""
    if result.counts is None:
        return ()
    program = elf.image(built.runner_elf)
    functions = counts.functions(built.runner_elf)
    return tuple(
        estimate.estimate(
            estimate.executed(result.counts, program, slot), target.core.name, model, functions
        )
        for slot in range(len(result.levels))
    )


def _per_image(span: Span, result: RunResult) -> Cycles:
    return round(span.low / result.images), round(span.high / result.images)


def _layer_cycles(
    estimates: Sequence[Estimate], name: str, result: RunResult
) -> tuple[Cycles, ...] | None:
    if not estimates or any(name not in item.by_function for item in estimates):
        return None
    return tuple(_per_image(item.by_function[name].cycles, result) for item in estimates)


def _rounded(values: Sequence[float]) -> tuple[int, ...]:
    return tuple(round(value) for value in values)


def _of(table: Mapping[str, Sequence[float]], name: str) -> tuple[int, ...] | None:
    return _rounded(table[name]) if name in table else None
