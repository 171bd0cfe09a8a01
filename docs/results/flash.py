"""Compare trainings to a flash budget: encoding-aware against magnitude pruning, resnet8.

    python docs/results/flash.py --data cifar10.tar.xz --date 2026-01-31 --machine "8 cores"

It writes flash.md and flash.json beside itself, after every run that ends, with the runs finished
so far; trainings.py says what the runs have in common.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from trainings import HERE, Result, Variant, arguments, data_title, pretraining, result, run

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
    Kind("east", "1x4", "lz4", SINGLE),
    Kind("magnitude", "1x4", "lz4", SINGLE),
    Kind("magnitude", "1x1", "lz4", SINGLE),
    Kind("east", "1x4", "all", SINGLE),
    Kind("magnitude", "1x4", "all", SINGLE),
    Kind("east", "1x4", "lz4", FAMILY),
    Kind("magnitude", "1x4", "lz4", FAMILY),
)


@dataclass(frozen=True)
class Row:
    """One trained model."""

    trained: Result
    budget_bytes: int
    stored_bytes: int
    """Weights and tables of the exported network."""


def variants(
    options: argparse.Namespace, seed: int, kinds: Sequence[Kind], budgets_kib: Sequence[int]
) -> list[Variant]:
    """Return the models to compare."""
    base = replace(
        pretraining(options, seed),
        epochs=options.epochs,
        split=SPLIT,
        lr=0.05,
        allocation="global",
        init_from=str(options.runs / f"pretrain-seed{seed}"),
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
    return Row(trained, variant.config.flash_bytes, int(json.loads(last)["stored_bytes"]))


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table: one row per way and seed, sparsity and accuracy per budget."""
    heads = " | ".join(f"{kib} KiB" for kib in BUDGETS_KIB)
    lines = [f"| pruning | seed | {heads} |", f"|---|---|{'---|' * len(BUDGETS_KIB)}"]
    found = {(r.trained.title, r.trained.seed, r.budget_bytes): r for r in rows}
    for title, seed in dict.fromkeys((r.trained.title, r.trained.seed) for r in rows):
        cells = [_cell(found.get((title, seed, kib * 1024))) for kib in BUDGETS_KIB]
        lines.append(f"| {title} | {seed} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(entry: Row | None) -> str:
    """Return a level a line, sparsest first: accuracy at sparsity."""
    if entry is None:
        return ""
    levels = zip(entry.trained.accuracy_int8, entry.trained.sparsity, strict=True)
    texts = [f"{100 * accuracy:.2f} at {100 * sparsity:.1f} %" for accuracy, sparsity in levels]
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

Test accuracy in per cent (int8, fake-quantized) and the sparsity the budget asks for. The budget
holds all weights and tables as stored; {100 * min(left):.2f} to {100 * max(left):.2f} % of each was
left free. Each cell is one training run: {options.epochs} epochs (ramp, recovery,
quantization-aware) from one dense pre-training of {options.pretrain_epochs}, batch 128, learning
rate 0.05. Machine: {options.machine}. Date: {options.date}.

{table(rows)}

`east`: encoding-aware pruning, docs/east.md. `magnitude`: the largest weights (groups 1x1) or
groups of four (1x4), ranked over all layers, as many as fit. `codecs lz4`: LZ4 alone; `all`: also
the deltas of docs/format.md for positions. With several levels one cell lists them all: the budget
holds the family.
Written by `docs/results/flash.py`; the numbers are in `flash.json`.
"""
    (HERE / "flash.md").write_text(text)


def main() -> None:
    """Train everything that is not finished yet."""
    options = arguments(__doc__ or "", "flash", pretrain_epochs=22, epochs=10).parse_args()
    rows: list[Row] = []
    for seed in options.seeds:
        run(pretraining(options, seed), options.runs)
        for variant in variants(options, seed, KINDS, BUDGETS_KIB):
            folder = run(variant.config, options.runs)
            rows.append(row(variant, folder))
            write(rows, options, data_title(folder))
            print(table(rows[-1:]))


if __name__ == "__main__":
    main()
