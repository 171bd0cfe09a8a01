"""Show what a network costs per level and per layer: tables for people, CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from codegen.measure.bench import AnswerCost, Bench, LayerCost, LevelCost
from codegen.measure.figures import per_cycle, share
from codegen.target.manifest import StorageFacts
from codegen.target.memory_system import Span
from nestnet.cli.tables import count, percent

CSV_COLUMNS = (
    "board", "clock_hz", "level", "sparsity", "layer", "kernel", "instructions", "cycles_low",
    "cycles_high", "ms_low", "ms_high", "share", "macs", "macs_skipped", "macs_per_cycle_low",
    "macs_per_cycle_high", "weights_bytes", "peak_ram_bytes", "estimator",
)  # fmt: skip

ANSWER = "answer"
"""Row of what the task's C takes after the inference, beside the levels' own."""

_COLUMNS = (
    "instructions", "estimated\ncycles", "ms", "share", "MACs\ndone", "MACs\nskipped",
    "MAC/cycle", "as if\ndense", "weights\nbytes", "RAM\nbytes",
)  # fmt: skip


def as_table(bench: Bench) -> Group:
    """Return a table per level, one of the levels and the sizes."""
    parts: list[RenderableType] = []
    for level in bench.levels:
        parts += [Text(f"level {level.level}, {level.name}", style="bold"), _layers(bench, level)]
    heading = f"{bench.network} on {bench.title}, per inference"
    parts += [Text(heading, style="bold"), _levels(bench), Text(_sizes(bench))]
    rows = [(layer.name, layer.storage) for layer in bench.levels[-1].layers]
    parts += [Text("weights in flash, all levels", style="bold"), storage_table(rows)]
    parts.append(Text(f"Cycles: {bench.estimator}."))
    if bench.executed_on != bench.board:
        parts.append(Text(f"Instructions were executed on {bench.executed_on}, the same core."))
    return Group(*parts)


def _layers(bench: Bench, level: LevelCost) -> Table:
    table = _table("layer", "kernel")
    for layer in level.layers:
        table.add_row(layer.name, layer.kernel, *_cells(bench, layer, level))
    return table


def _levels(bench: Bench) -> Table:
    table = _table("level", "sparsity")
    peak = max((layer.peak_ram_bytes for layer in bench.levels[0].layers), default=0)
    for level in bench.levels:
        whole = LayerCost(
            level.name, "", "", None, level.instructions, level.cycles, level.macs,
            level.dense_macs, level.weights_bytes, peak,
        )  # fmt: skip
        table.add_row(str(level.level), percent(level.sparsity), *_cells(bench, whole, level))
        if level.answer is not None:
            answer = _as_layer(level.answer)
            table.add_row("", ANSWER, *_cells(bench, answer, level))
    return table


def _as_layer(answer: AnswerCost) -> LayerCost:
    """Return the row of a task's answer, which is no layer's."""
    return LayerCost(ANSWER, "", "", None, answer.instructions, answer.cycles, 0, 0, 0, 0)


def _table(*names: str) -> Table:
    table = Table()
    for name in names:
        table.add_column(name)
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    return table


def _cells(bench: Bench, layer: LayerCost, level: LevelCost) -> tuple[str, ...]:
    has_macs = layer.dense_macs > 0
    return (
        count(layer.instructions),
        _range(layer.cycles),
        _milliseconds(bench, layer.cycles),
        percent(share(layer.cycles, level.cycles)),
        count(layer.macs) if has_macs else "",
        count(layer.dense_macs - layer.macs) if has_macs else "",
        _ratio(layer.macs, layer.cycles) if has_macs else "",
        _ratio(layer.dense_macs, layer.cycles) if has_macs else "",
        count(layer.weights_bytes) if layer.weights_bytes else "",
        count(layer.peak_ram_bytes) if layer.peak_ram_bytes else "",
    )


def storage_table(rows: Sequence[tuple[str, StorageFacts | None]]) -> Table:
    """Return a table of how each layer's weights and positions lie in flash, and their sum."""
    table = Table()
    table.add_column("layer")
    table.add_column("stored as")
    for name in ("bytes", "as kernels\nread them", "per kept\nweight", "entropy\nbound"):
        table.add_column(name, justify="right")
    known = [(name, facts) for name, facts in rows if facts is not None]
    for name, facts in known:
        table.add_row(name, facts.name, *_storage_cells(facts))
    if known:
        counts = ("stored_bytes", "execution_bytes", "kept_weights", "entropy_bytes")
        total = [sum(getattr(facts, count) for _, facts in known) for count in counts]
        table.add_section()
        table.add_row("all", "", *_storage_cells(StorageFacts("", *total)))
    return table


def _storage_cells(facts: StorageFacts) -> tuple[str, ...]:
    per_weight = facts.bytes_per_kept_weight
    return (
        count(facts.stored_bytes),
        count(facts.execution_bytes),
        "-" if per_weight is None else f"{per_weight:.3f}",
        count(facts.entropy_bytes),
    )


def _range(span: Span | None) -> str:
    if span is None or span.low == span.high:
        return count(None if span is None else span.low)
    return f"{count(span.low)} ..\n{count(span.high)}"


def _milliseconds(bench: Bench, span: Span | None) -> str:
    value = bench.ms_of(span)
    if value is None:
        return "-"
    return "..".join(f"{end:.2f}" for end in (value if isinstance(value, list) else [value]))


def _ratio(macs: int, cycles: Span | None) -> str:
    value = per_cycle(macs, cycles)
    if value is None:
        return "-"
    return "..".join(f"{end:.2f}" for end in (value if isinstance(value, list) else [value]))


def _sizes(bench: Bench) -> str:
    sizes = bench.sizes
    return (
        f"code {count(sizes.code_bytes)} bytes, weights {count(sizes.weights_bytes)}, "
        f"arena {count(sizes.arena_bytes)}, deepest stack {count(bench.stack_bytes)}"
    )


def as_csv(bench: Bench) -> str:
    """Return one line per level and layer, in the columns :data:`CSV_COLUMNS`."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for level in bench.levels:
        answers = [] if level.answer is None else [_as_layer(level.answer)]
        for layer in (*level.layers, *answers):
            writer.writerow(_csv_row(bench, level, layer))
    return out.getvalue()


def _csv_row(bench: Bench, level: LevelCost, layer: LayerCost) -> list[object]:
    cycles = [None, None] if layer.cycles is None else [layer.cycles.low, layer.cycles.high]
    return [
        bench.board,
        bench.clock_hz,
        level.level,
        level.sparsity,
        layer.name,
        layer.kernel,
        layer.instructions,
        *cycles,
        *_ends(bench.ms_of(layer.cycles)),
        share(layer.cycles, level.cycles),
        layer.macs,
        layer.dense_macs - layer.macs,
        *_ends(per_cycle(layer.macs, layer.cycles)),
        layer.weights_bytes,
        layer.peak_ram_bytes,
        bench.estimator,
    ]


def _ends(value: float | list[float] | None) -> list[float | None]:
    return list(value) if isinstance(value, list) else [value, value]
