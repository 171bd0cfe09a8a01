"""Measure what every layer costs at every level: instructions, and cycles estimated from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from codegen.emit import level_cycles as level_cycles_of
from codegen.graph.ir import Int8Array
from codegen.measure.cmsis_library import Library, calls_library
from codegen.measure.figures import per_cycle, plain, share, storage_record
from codegen.measure.pipelines import elf, estimate
from codegen.measure.pipelines.estimate import Estimate
from codegen.target import memory_system, placement, runners, sizes
from codegen.target.boards import Board
from codegen.target.emulator import counts
from codegen.target.manifest import LayerFacts, ProjectInfo, StorageFacts
from codegen.target.memory_system import ZERO_WAIT_STATES, Memory, Span, Stand
from codegen.target.placement import Needs
from codegen.target.runners import RunResult
from codegen.target.sizes import Sizes
from codegen.target.toolchain import Built

DECODE = "decode"
"""Row of the decoders, which layers with coded streams share."""

DECODERS = ("nn_decode_", "nn_lz4_", "nn_deltas_", "nn_check_positions")
"""How the decoders' functions begin; each layer has one more, ``<c_name>_decode``."""

OTHER = "other"
"""Row of the code outside the layers' own functions: nn_run and what the compiler shares."""


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs at one level, per inference."""

    name: str
    kernel: str
    reason: str
    """Why this kernel."""
    storage: StorageFacts | None
    """How weights and positions of all levels lie in flash; None without any."""
    instructions: int | None
    """Executed; None where nothing counts them."""
    cycles: Span | None
    """Estimated, not measured; None where the layer has no function of its own, or the core has
    no model."""
    macs: int
    dense_macs: int
    """Multiply-accumulates of the same layer without any pruning."""
    weights_bytes: int
    """Flash this level reads."""
    peak_ram_bytes: int
    """Fewest arena bytes the layer can run in (docs/adr/0008-shared-buffers.md)."""


@dataclass(frozen=True)
class AnswerCost:
    """What a task's C takes to answer from the outputs of one inference, such as boxes."""

    instructions: int
    cycles: Span | None
    """Estimated; None on a core without a model."""


@dataclass(frozen=True)
class LevelCost:
    """What one level costs, per inference; its layers add up to it."""

    level: int
    name: str
    sparsity: float
    instructions: int | None
    cycles: Span | None
    """None on a core without a model."""
    weights_bytes: int
    layers: tuple[LayerCost, ...]
    """The network's layers in order; where instructions are counted, then :data:`DECODE` if
    anything was decoded, and :data:`OTHER`."""
    answer: AnswerCost | None
    """Beside all of these; None without a task, or where nothing is counted."""

    @property
    def macs(self) -> int:
        """Return the multiply-accumulates of all layers."""
        return sum(layer.macs for layer in self.layers)

    @property
    def dense_macs(self) -> int:
        """Return the multiply-accumulates of all layers without pruning."""
        return sum(layer.dense_macs for layer in self.layers)


@dataclass(frozen=True)
class Bench:
    """What a network costs on a board."""

    network: str
    board: str
    title: str
    clock_hz: int
    """0 where there is no clock to speak of: the host."""
    executed_on: str
    """The board the code ran on: for a chip, the emulated board with the same core."""
    images: int
    estimator: str
    """Name of the cycle model and its validated error; print it beside every estimate."""
    levels: tuple[LevelCost, ...]
    stack_bytes: int | None
    """Deepest stack below the caller of nn_run, painted; None where not known."""
    sizes: Sizes
    elf: str

    def as_json(self) -> dict[str, Any]:
        """Return plain data for a JSON file; docs/bench.md has the schema."""
        return {
            "board": self.board,
            "clock_hz": self.clock_hz,
            "estimator": self.estimator,
            "levels": [self._level(level) for level in self.levels],
            "code_bytes": self.sizes.code_bytes,
            "weights_bytes": self.sizes.weights_bytes,
            "arena_bytes": self.sizes.arena_bytes,
            "stack_bytes": self.stack_bytes,
            "elf": self.elf,
        }

    def _level(self, level: LevelCost) -> dict[str, Any]:
        return {
            "level": level.level,
            "sparsity": level.sparsity,
            "instructions": level.instructions,
            "cycles": plain(level.cycles),
            "ms": self.ms_of(level.cycles),
            "layers": [self._layer(layer, level) for layer in level.layers],
            "answer": None if level.answer is None else self._answer(level.answer),
        }

    def _answer(self, answer: AnswerCost) -> dict[str, Any]:
        return {
            "instructions": answer.instructions,
            "cycles": plain(answer.cycles),
            "ms": self.ms_of(answer.cycles),
        }

    def _layer(self, layer: LayerCost, level: LevelCost) -> dict[str, Any]:
        return {
            "name": layer.name,
            "kernel": layer.kernel,
            "reason": layer.reason,
            "instructions": layer.instructions,
            "cycles": plain(layer.cycles),
            "ms": self.ms_of(layer.cycles),
            "share": share(layer.cycles, level.cycles),
            "macs": layer.macs,
            "macs_skipped": layer.dense_macs - layer.macs,
            "macs_per_cycle": per_cycle(layer.macs, layer.cycles),
            "dense_macs_per_cycle": per_cycle(layer.dense_macs, layer.cycles),
            "weights_bytes": layer.weights_bytes,
            "peak_ram_bytes": layer.peak_ram_bytes,
            "storage": None if layer.storage is None else storage_record(layer.storage),
        }

    def ms_of(self, cycles: Span | None) -> float | list[float] | None:
        """Return milliseconds, a pair for a range; None without a clock or cycles."""
        if cycles is None or not self.clock_hz:
            return None
        low, high = (round(1000.0 * end / self.clock_hz, 4) for end in (cycles.low, cycles.high))
        return low if cycles.low == cycles.high else [low, high]


def measure(
    built: Built, inputs: Sequence[Int8Array], levels: Sequence[int], target: Built | None = None
) -> Bench:
    """Run ``inputs`` and add up what was executed.

    Args:
        built: the project to run.
        inputs: int8, each (n, h, w, c).
        levels: all levels, in order.
        target: the same network built for the board whose sizes and memory the result is for, with
            the same core as ``built``'s; default: ``built``.

    Raises:
        UserError: the machine is missing or the program failed.
    """
    target = target or built
    emulated = built.board.runner == "qemu"
    model, events = _memory(built, target.board) if emulated else (ZERO_WAIT_STATES, {})
    result = runners.run(built, inputs, levels, events)
    estimates = _estimates(built, result, target.board, model)
    library = Library.of(built, inputs, levels) if emulated else None
    answers: tuple[AnswerCost, ...] = ()
    if emulated and result.answers is not None:
        answering = runners.run(built, inputs, levels, events, count_answers=True)
        answers = _answers(answering, _estimates(built, answering, target.board, model))
    return Bench(
        network=built.info.network,
        board=target.board.id,
        title=target.board.title,
        clock_hz=target.board.chip.clock_hz,
        executed_on=built.board.id,
        images=result.images,
        estimator=_estimator(estimates, _otherwise(built)),
        levels=tuple(
            _level(
                built,
                result,
                estimates[position] if estimates else None,
                position,
                library,
                answers[position] if answers else None,
            )
            for position in range(len(levels))
        ),
        stack_bytes=result.stack_bytes,
        sizes=target.sizes,
        elf=str(target.firmware_elf),
    )


def level_cycles(
    built: Built, inputs: Sequence[Int8Array], levels: Sequence[int], board: Board
) -> tuple[tuple[Span, ...], str]:
    """Run ``inputs`` on an emulated project; return each level's cycles and the model's name.

    Args:
        built: of an emulated board.
        inputs: int8, each (n, h, w, c).
        levels: all levels, in order.
        board: whose memory the cycles are for, with the same core.
    """
    model, events = _memory(built, board)
    result = runners.run(built, inputs, levels, events)
    estimates = _estimates(built, result, board, model)
    spans = tuple(_per_image(one.total.cycles, result) for one in estimates)
    return spans, _estimator(estimates, _otherwise(built))


def _memory(built: Built, board: Board) -> tuple[Memory, dict[str, int]]:
    """Return the model of ``board``'s memory, and what makes the emulator count its events.

    Raises:
        DoesNotFit: the network is too large for ``board``.
    """
    info = built.info
    needs = Needs(
        weights_bytes=info.weights_bytes,
        arena_bytes=info.arena_bytes,
        edge_bytes=info.callers_bytes,
        stack_bytes=built.sizes.stack_reserve_bytes,
    )
    layout, emulated = placement.place(board, needs), placement.place(built.board, needs)
    flash, ram = emulated.of("code").bank, emulated.of("data").bank
    stand = Stand(
        flash=(flash.address, flash.size_bytes),
        ram=(ram.address, ram.size_bytes),
        arena=sizes.variable(built.runner_elf, "arena"),
    )
    model = memory_system.of_board(board, layout)
    return model, memory_system.plugin_arguments(model, layout, stand)


def _estimator(estimates: Sequence[Estimate], otherwise: str) -> str:
    return f"{estimates[0].model}: {estimates[0].note}" if estimates else otherwise


def _otherwise(built: Built) -> str:
    """Return what is said where nothing was estimated."""
    if level_cycles_of.is_modelled(built.board):
        return built.info.cycles_source
    return level_cycles_of.unknown(built.board)


def _estimates(
    built: Built, result: RunResult, target: Board, model: Memory
) -> tuple[Estimate, ...]:
    """Return one estimate per level, summed over the images.

    None where nothing was counted, or no pricer knows the core.
    """
    pricer = target.core.pricer
    if result.counts is None or pricer is None:
        return ()
    program = elf.image(built.runner_elf)
    functions = counts.functions(built.runner_elf)
    return tuple(
        estimate.estimate(estimate.executed(result.counts, program, slot), pricer, model, functions)
        for slot in range(len(result.levels))
    )


def _level(
    built: Built,
    result: RunResult,
    estimated: Estimate | None,
    position: int,
    library: Library | None,
    answer: AnswerCost | None,
) -> LevelCost:
    info = built.info
    facts = info.levels[position]
    layers = tuple(_layer(layer, result, estimated, position, library) for layer in info.layers)
    instructions = None
    reckoned = sum(layer.cycles[position] for layer in info.layers)
    cycles: Span | None = Span(reckoned, reckoned)
    if not level_cycles_of.is_modelled(built.board):
        cycles, layers = None, tuple(replace(layer, cycles=None) for layer in layers)
    if result.instructions is not None:
        instructions = round(result.instructions[position])
    if estimated is not None and instructions is not None:
        cycles = _per_image(estimated.total.cycles, result)
        layers += _decoding(info, estimated, result)
        layers += (_other(instructions, cycles, layers),)
    return LevelCost(
        level=result.levels[position],
        name=facts.name,
        sparsity=facts.sparsity,
        instructions=instructions,
        cycles=cycles,
        weights_bytes=facts.weight_bytes,
        layers=layers,
        answer=answer,
    )


def _answers(result: RunResult, estimates: Sequence[Estimate]) -> tuple[AnswerCost, ...]:
    """Return what each level's answers take, per inference."""
    assert result.instructions is not None, "emulators count"
    spans: Sequence[Span | None] = [_per_image(one.total.cycles, result) for one in estimates]
    return tuple(
        AnswerCost(round(count), span)
        for count, span in zip(
            result.instructions, spans or [None] * len(result.levels), strict=True
        )
    )


def _layer(
    facts: LayerFacts,
    result: RunResult,
    estimated: Estimate | None,
    position: int,
    library: Library | None,
) -> LayerCost:
    cycles: Span | None = Span(facts.cycles[position], facts.cycles[position])
    instructions = _of(result.layer_instructions, facts.c_name, position)
    if estimated is not None:
        found = estimated.by_function.get(facts.c_name)
        spent = None if found is None else found.cycles
        if library is not None and calls_library(facts):
            called = library.cycles(facts, position, estimated)
            own = spent or Span(0, 0)
            spent = Span(own.low + called.low, own.high + called.high)
            more = round(library.instructions(facts, position) / result.images)
            instructions = (instructions or 0) + more
        cycles = None if spent is None else _per_image(spent, result)
    return LayerCost(
        name=facts.name,
        kernel=facts.kernel,
        reason=facts.reason,
        storage=facts.storage,
        instructions=instructions,
        cycles=cycles,
        macs=facts.macs[position],
        dense_macs=facts.dense_macs,
        weights_bytes=facts.weight_bytes[position],
        peak_ram_bytes=facts.peak_ram_bytes,
    )


def _decoding(info: ProjectInfo, estimated: Estimate, result: RunResult) -> tuple[LayerCost, ...]:
    """Return the row of the decoders, none if nothing was decoded."""
    of_layers = {f"{layer.c_name}_decode" for layer in info.layers}
    found = [
        spent
        for name, spent in estimated.by_function.items()
        if name.startswith(DECODERS) or name in of_layers
    ]
    if not found:
        return ()
    whole = Span(sum(one.cycles.low for one in found), sum(one.cycles.high for one in found))
    instructions = sum(one.instructions for one in found)
    return (
        _row(
            DECODE,
            "decoders of coded streams",
            round(instructions / result.images),
            _per_image(whole, result),
        ),
    )


def _row(name: str, reason: str, instructions: int, cycles: Span) -> LayerCost:
    """Return a row of code that is no layer's."""
    return LayerCost(
        name=name,
        kernel="",
        reason=reason,
        storage=None,
        instructions=instructions,
        cycles=cycles,
        macs=0,
        dense_macs=0,
        weights_bytes=0,
        peak_ram_bytes=0,
    )


def _other(instructions: int, cycles: Span, layers: Sequence[LayerCost]) -> LayerCost:
    """Return the row that makes the layers add up to the level."""
    spans = [layer.cycles for layer in layers if layer.cycles is not None]
    return _row(
        OTHER,
        "code outside the layers' own functions",
        instructions - sum(layer.instructions or 0 for layer in layers),
        Span(
            cycles.low - sum(span.low for span in spans),
            cycles.high - sum(span.high for span in spans),
        ),
    )


def _per_image(span: Span, result: RunResult) -> Span:
    return Span(round(span.low / result.images), round(span.high / result.images))


def _of(table: Mapping[str, Sequence[float]], name: str, position: int) -> int | None:
    return round(table[name][position]) if name in table else None
