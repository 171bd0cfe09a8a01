"""Compare allocations of sparsity: accuracy and executed instructions of nested resnet8.

    python docs/results/allocation.py --data cifar10.tar.xz --date 2026-01-31 --machine "8 cores"

It writes allocation.md and allocation.json beside itself; trainings.py says what the runs have in
common. Instructions are counted on the emulated Cortex-M4 and need its tools.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from trainings import (
    BOARD,
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

from nestnet.config import ALLOCATIONS

SPARSITY = (0.9, 0.8, 0.7, 0.5)
SPLIT = (0.0, 0.55, 0.25, 0.2)
"""Shares of warm-up (done by the pre-training), ramp, recovery, quantization-aware epochs."""


@dataclass(frozen=True)
class Row:
    """One trained model and what its levels execute."""

    trained: Result
    instructions: tuple[int, ...]


def variants(options: argparse.Namespace, seed: int) -> list[Variant]:
    """Return the models to compare."""
    base = replace(
        pretraining(options, seed),
        epochs=options.epochs,
        split=SPLIT,
        lr=0.05,
        sparsity=SPARSITY,
        init_from=str(options.runs / f"pretrain-seed{seed}"),
    )
    return [
        Variant(allocation, replace(base, name=f"{allocation}-seed{seed}", allocation=allocation))
        for allocation in ALLOCATIONS
    ]


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table: one row per allocation and seed."""
    names = [f"{share:.0%} sparse".replace("%", " %") for share in SPARSITY]
    lines = [f"| allocation | seed | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for row in rows:
        cells = [
            f"{accuracy:.2%}, {count / 1e6:.2f} M".replace("%", " %")
            for accuracy, count in zip(row.trained.accuracy_int8, row.instructions, strict=True)
        ]
        lines.append(f"| {row.trained.title} | {row.trained.seed} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write(rows: Sequence[Row], options: argparse.Namespace, title: str) -> None:
    """Write allocation.json and allocation.md."""
    about = {
        "model": "resnet8",
        "dataset": title,
        "machine": options.machine,
        "date": options.date,
        "pretrain_epochs": options.pretrain_epochs,
        "epochs": options.epochs,
        "split": SPLIT,
        "board": BOARD,
        "runs": [asdict(row) for row in rows],
    }
    (HERE / "allocation.json").write_text(json.dumps(about, indent=2) + "\n")
    text = f"""# Allocation of sparsity: resnet8 on {title}

Test accuracy (int8, fake-quantized) and executed instructions of one inference (emulated Cortex-M4,
QEMU 7.2, gcc 12.2 -O3) of one nested network with four levels. Each row is one training run:
{options.epochs} epochs (ramp, recovery, quantization-aware) from one dense pre-training of
{options.pretrain_epochs}, groups 1x4, batch 128, learning rate 0.05. The rows take about the same
flash. Machine: {options.machine}. Date: {options.date}.

{table(rows)}

`global`: the groups of all layers are ranked by magnitude. `latency`: by what a group contributes
per multiply-accumulate, so layers on large maps are pruned more. `uniform`: every layer has the
level's sparsity.
Written by `docs/results/allocation.py`; the numbers are in `allocation.json`.
"""
    (HERE / "allocation.md").write_text(text)


def main() -> None:
    """Train everything that is not finished yet."""
    parser = arguments(__doc__ or "", "allocation", pretrain_epochs=22, epochs=9)
    options = parser.parse_args()
    rows: list[Row] = []
    for seed in options.seeds:
        run(pretraining(options, seed), options.runs)
        for variant in variants(options, seed):
            folder = run(variant.config, options.runs)
            rows.append(Row(result(variant, folder), instructions(folder)))
            write(rows, options, data_title(folder))
            print(table(rows[-1:]))


if __name__ == "__main__":
    main()
