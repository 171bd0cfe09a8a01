"""Compare trainings to a flash budget: encoding-aware against magnitude pruning, resnet8.

Runs are kept in ``--runs``; an experiment that was stopped goes on from them.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from experiments.common import trainings
from experiments.common.markdown import table
from experiments.common.trainings import Variant, instructions, pretraining, result, run
from nestnet import runs

COST = "28 runs a seed of some 7 minutes (20 with four levels) on one core"
BUDGETS_KIB = (24, 32, 48, 64)
SPLIT = (0.0, 0.4, 0.4, 0.2)
"""Shares of warm-up (done by the pre-training), ramp, recovery, quantization-aware epochs."""
TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")
SEEDS = ()
"""Said by ``--seeds``."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a comparison of trainings."""
    trainings.arguments(parser, "flash", pretrain_epochs=22, epochs=10)


@dataclass(frozen=True)
class Kind:
    """One way to meet a budget."""

    method: str
    group: str
    codecs: str
    levels: tuple[float, ...]
    """Sparsities, of which a budget takes the ratios of densities."""

    @property
    def title(self) -> str:
        """What the table calls it."""
        nested = f", {len(self.levels)} levels" if len(self.levels) > 1 else ""
        return f"{self.method}, groups {self.group}, codecs {self.codecs}{nested}"


SINGLE = (0.7,)
FAMILY = (0.9, 0.8, 0.7, 0.5)
KINDS = (
    Kind("east", "auto", "all", SINGLE),
    Kind("magnitude", "1x1", "lz4", SINGLE),
    Kind("magnitude", "1x4", "lz4", SINGLE),
    Kind("magnitude", "1x1", "all", SINGLE),
    Kind("east", "auto", "all", FAMILY),
    Kind("magnitude", "1x1", "lz4", FAMILY),
    Kind("magnitude", "1x4", "lz4", FAMILY),
)


def variants(
    options: argparse.Namespace, seed: int, kinds: Sequence[Kind], budgets_kib: Sequence[int]
) -> list[Variant]:
    """Return the models to compare."""
    base = replace(
        pretraining(options, options.seeds[0]),
        seed=seed,
        epochs=options.epochs,
        split=SPLIT,
        lr=0.05,
        allocation="global",
        init_from=str(options.runs / f"pretrain-seed{options.seeds[0]}"),
    )
    return [
        Variant(
            kind.title,
            replace(
                base,
                name=f"{kind.method}-{kind.group}-{kind.codecs}-{len(kind.levels)}-{kib}-seed{seed}",
                sparsity=kind.levels,
                group=kind.group,
                method=kind.method,
                codecs=kind.codecs,
                flash_bytes=kib * 1024,
            ),
        )
        for kind in kinds
        for kib in budgets_kib
    ]


def row(variant: Variant, folder: Path) -> dict[str, Any]:
    """Return what the finished run in ``folder`` reached.

    ``stored_bytes`` are the weights and tables of the exported network; instructions are those of
    one inference at every level, on the emulated Cortex-M4.
    """
    last = (folder / runs.METRICS).read_text().splitlines()[-1]
    return {
        "trained": asdict(result(variant, folder)),
        "budget_bytes": variant.config.flash_bytes,
        "stored_bytes": int(json.loads(last)["stored_bytes"]),
        "instructions": instructions(folder),
    }


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Train everything that is not finished yet; yield what is."""
    rows: list[dict[str, Any]] = []
    run(pretraining(options, options.seeds[0]), options.runs)
    for seed in options.seeds:
        for variant in variants(options, seed, KINDS, BUDGETS_KIB):
            folder = run(variant.config, options.runs)
            rows.append(row(variant, folder))
            yield {**trainings.about(options, folder, SPLIT), "runs": rows}


HEADS = [f"{kib} KiB" for kib in BUDGETS_KIB]
Rows = Sequence[Mapping[str, Any]]


def every_run(rows: Rows) -> str:
    """Return a table with a row per way and seed and a column per budget."""
    found = {(r["trained"]["title"], r["trained"]["seed"], r["budget_bytes"]): r for r in rows}
    ways = dict.fromkeys((r["trained"]["title"], r["trained"]["seed"]) for r in rows)
    lines = [
        [title, seed, *(_cell(found.get((title, seed, kib * 1024))) for kib in BUDGETS_KIB)]
        for title, seed in ways
    ]
    return table(["pruning", "seed", *HEADS], lines)


def means(rows: Rows) -> str:
    """Return a table of the mean over the seeds of every way with one level."""
    lines = []
    single = [r for r in rows if len(r["trained"]["sparsity"]) == 1]
    for title in dict.fromkeys(r["trained"]["title"] for r in single):
        cells = []
        for kib in BUDGETS_KIB:
            found = [
                100 * r["trained"]["accuracy_int8"][0]
                for r in single
                if (r["trained"]["title"], r["budget_bytes"]) == (title, kib * 1024)
            ]
            seeds = f"{len(found)} seed{'s'[: len(found) > 1]}"
            cells.append(f"{statistics.mean(found):.2f} ({seeds})" if found else "")
        lines.append([title, *cells])
    return table(["pruning", *HEADS], lines)


def _cell(entry: Mapping[str, Any] | None) -> str:
    """Return a level a line, sparsest first: accuracy at sparsity, millions of instructions."""
    if entry is None:
        return ""
    trained = entry["trained"]
    levels = zip(trained["accuracy_int8"], trained["sparsity"], entry["instructions"], strict=True)
    texts = [f"{100 * a:.2f} at {100 * s:.1f} %, {count / 1e6:.2f} M" for a, s, count in levels]
    return "<br>".join(texts)


def page(findings: Mapping[str, Any]) -> str:
    """Return both tables and what they show."""
    rows = findings["runs"]
    left = [1 - row["stored_bytes"] / row["budget_bytes"] for row in rows]
    return f"""# Training to a flash budget: {findings["model"]} on {findings["dataset"]}

Test accuracy in per cent (int8, fake-quantized), the sparsity the budget asks for, and executed
instructions of one inference (emulated Cortex-M4, weights decoded in it). The budget holds all
weights and tables as stored; {100 * min(left):.2f} to {100 * max(left):.2f} % was left free.
Each cell is one training run: {findings["epochs"]} epochs (ramp, recovery, quantization-aware) from
the same dense pre-training of {findings["pretrain_epochs"]}, batch 128, learning rate 0.05.

Mean accuracy over the seeds:

{means(rows)}

Every run:

{every_run(rows)}

`east`: encoding-aware pruning, docs/east.md; `auto` chooses every layer's group. `magnitude`: the
largest weights (groups 1x1) or groups of four (1x4), ranked over all layers, as many as fit.
`codecs lz4`: LZ4 alone; `all`: also the positions' deltas of docs/format.md. With several levels
one cell lists them all: the budget holds the family.
"""


def problems(findings: Mapping[str, Any]) -> list[str]:
    """Return the runs that take more flash than their budget."""
    return [
        f"{row['trained']['name']}: {row['stored_bytes']} bytes exceed its budget"
        for row in findings["runs"]
        if row["stored_bytes"] > row["budget_bytes"]
    ]
