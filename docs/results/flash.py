"""Compare trainings to a flash budget: encoding-aware against magnitude pruning, resnet8.

    python docs/results/flash.py --data cifar10.tar.xz --date 2026-01-31 --machine "8 cores"

It writes flash.md and flash.json beside itself, after every run that ends, with the runs finished
so far; trainings.py says what the runs have in common.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from trainings import (
    HERE,
    Result,
    Variant,
    arguments,
    data_title,
    instructions,
    pretraining,
    result,
    run,
)

from nestnet import runs

BUDGETS_KIB = (24, 32, 48, 64)
SPLIT = (0.0, 0.4, 0.4, 0.2)
"""Shares of warm-up (done by the pre-training), ramp, recovery, quantization-aware epochs."""


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


@dataclass(frozen=True)
class Row:
    """One trained model."""

    trained: Result
    budget_bytes: int
    stored_bytes: int
    """Weights and tables of the exported network."""
    instructions: tuple[int, ...]
    """Of one inference at every level, on the emulated Cortex-M4."""


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


def row(variant: Variant, folder: Path) -> Row:
    """Read what the finished run in ``folder`` reached."""
    last = (folder / runs.METRICS).read_text().splitlines()[-1]
    trained = result(variant, folder)
    stored_bytes = int(json.loads(last)["stored_bytes"])
    return Row(trained, variant.config.flash_bytes, stored_bytes, instructions(folder))


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table: one row per way and seed, one column per budget."""
    found = {(r.trained.title, r.trained.seed, r.budget_bytes): r for r in rows}
    ways = dict.fromkeys((r.trained.title, r.trained.seed) for r in rows)
    lines = [
        [title, str(seed), *(_cell(found.get((title, seed, kib * 1024))) for kib in BUDGETS_KIB)]
        for title, seed in ways
    ]
    return _markdown(["pruning", "seed"], lines)


def means(rows: Sequence[Row]) -> str:
    """Return a Markdown table of the mean over the seeds of every way with one level."""
    lines = []
    for title in dict.fromkeys(r.trained.title for r in rows if len(r.trained.sparsity) == 1):
        cells = []
        for kib in BUDGETS_KIB:
            same = [r for r in rows if (r.trained.title, r.budget_bytes) == (title, kib * 1024)]
            found = [100 * r.trained.accuracy_int8[0] for r in same]
            seeds = f"{len(found)} seed{'s'[: len(found) > 1]}"
            cells.append(f"{statistics.mean(found):.2f} ({seeds})" if found else "")
        lines.append([title, *cells])
    return _markdown(["pruning"], lines)


def _markdown(first: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    heads = [*first, *(f"{kib} KiB" for kib in BUDGETS_KIB)]
    rule = ["---"] * len(heads)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *lines))


def _cell(entry: Row | None) -> str:
    """Return a level a line, sparsest first: accuracy at sparsity, millions of instructions."""
    if entry is None:
        return ""
    trained = entry.trained
    levels = zip(trained.accuracy_int8, trained.sparsity, entry.instructions, strict=True)
    texts = [f"{100 * a:.2f} at {100 * s:.1f} %, {count / 1e6:.2f} M" for a, s, count in levels]
    return "<br>".join(texts)


def write(rows: Sequence[Row], options: argparse.Namespace, title: str) -> None:
    """Write flash.json and flash.md."""
    about = {
        "model": "resnet8",
        "dataset": title,
        "machine": options.machine,
        "date": options.date,
        "pretrain_epochs": options.pretrain_epochs,
        "epochs": options.epochs,
        "split": SPLIT,
        "runs": [asdict(entry) for entry in rows],
    }
    (HERE / "flash.json").write_text(json.dumps(about, indent=2) + "\n")
    left = [1 - entry.stored_bytes / entry.budget_bytes for entry in rows]
    text = f"""# Training to a flash budget: resnet8 on {title}

Test accuracy in per cent (int8, fake-quantized), the sparsity the budget asks for, and executed
instructions of one inference (emulated Cortex-M4, weights decoded in it). The budget holds all
weights and tables as stored; {100 * min(left):.2f} to {100 * max(left):.2f} % was left free.
Each cell is one training run: {options.epochs} epochs (ramp, recovery, quantization-aware) from the
same dense pre-training of {options.pretrain_epochs}, batch 128, learning rate 0.05.
Machine: {options.machine}. Date: {options.date}.

Mean accuracy over the seeds:

{means(rows)}

Every run:

{table(rows)}

`east`: encoding-aware pruning, docs/east.md; `auto` chooses every layer's group. `magnitude`: the
largest weights (groups 1x1) or groups of four (1x4), ranked over all layers, as many as fit.
`codecs lz4`: LZ4 alone; `all`: also the positions' deltas of docs/format.md. With several levels
one cell lists them all: the budget holds the family.
Written by `docs/results/flash.py`; the numbers are in `flash.json`.
"""
    (HERE / "flash.md").write_text(text)


def main() -> None:
    """Train everything that is not finished yet."""
    options = arguments(__doc__ or "", "flash", pretrain_epochs=22, epochs=10).parse_args()
    rows: list[Row] = []
    run(pretraining(options, options.seeds[0]), options.runs)
    for seed in options.seeds:
        for variant in variants(options, seed, KINDS, BUDGETS_KIB):
            folder = run(variant.config, options.runs)
            rows.append(row(variant, folder))
            write(rows, options, data_title(folder))
            print(table(rows[-1:]))


if __name__ == "__main__":
    main()
