"""Compare gradient routings: nested resnet8 against the dense and the stand-alone sparse models.

    python docs/results/routing.py --data cifar10.tar.xz --date 2026-01-31 --machine "8 cores"

It writes routing.md and routing.json beside itself, after every run that ends, with the runs
finished so far; trainings.py says what the runs have in common.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace

from trainings import HERE, Result, Variant, arguments, data_title, pretraining, result, run

from nestnet.config import ROUTINGS

SPARSITY = (0.9, 0.8, 0.7, 0.5)
SPLIT = (0.0, 0.35, 0.5, 0.15)
"""Shares of warm-up (done by the pre-training), ramp, recovery, quantization-aware epochs."""


def variants(options: argparse.Namespace, seed: int) -> list[Variant]:
    """Return the models to compare, the most informative first."""
    base = replace(
        pretraining(options, seed),
        epochs=options.epochs,
        split=SPLIT,
        lr=0.08,
        init_from=str(options.runs / f"pretrain-seed{seed}"),
    )
    nested = [
        Variant(
            f"nested, {routing} routing",
            replace(base, name=f"{routing}-seed{seed}", sparsity=SPARSITY, routing=routing),
        )
        for routing in ROUTINGS
    ]
    dense = Variant("dense", replace(base, name=f"dense-seed{seed}"))
    alone = [
        Variant(
            f"stand-alone {sparsity:.0%} sparse",
            replace(base, name=f"alone{sparsity * 100:.0f}-seed{seed}", sparsity=(sparsity,)),
        )
        for sparsity in SPARSITY
    ]
    return [*nested, dense, *alone]


def columns(result: Result) -> dict[str, int]:
    """Return which level of ``result`` belongs under which column of the table."""
    if result.sparsity == (0.0,):
        return {"dense": 0}
    return {f"{round(share * 100):d}": level for level, share in enumerate(result.sparsity)}


def table(results: Sequence[Result]) -> str:
    """Return a Markdown table: one row per model and seed, float / int8 accuracy per sparsity."""
    heads = [*(f"{s * 100:.0f}" for s in SPARSITY), "dense"]
    names = [f"{head} % sparse" if head != "dense" else head for head in heads]
    rows = [f"| model | seed | {' | '.join(names)} | s/epoch |", f"|---|---|{'---|' * 6}"]
    for entry in results:
        where = columns(entry)
        cells = [
            f"{entry.accuracy_float[where[h]]:.2%} / {entry.accuracy_int8[where[h]]:.2%}"
            if h in where
            else ""
            for h in heads
        ]
        seconds = f"{entry.seconds_per_epoch:.0f}"
        rows.append(f"| {' | '.join([entry.title, str(entry.seed), *cells, seconds])} |")
    return "\n".join(rows)


def write(results: Sequence[Result], options: argparse.Namespace, title: str) -> None:
    """Write routing.json and routing.md."""
    about = {
        "model": "resnet8",
        "dataset": title,
        "machine": options.machine,
        "date": options.date,
        "pretrain_epochs": options.pretrain_epochs,
        "epochs": options.epochs,
        "split": SPLIT,
        "runs": [vars(entry) for entry in results],
    }
    (HERE / "routing.json").write_text(json.dumps(about, indent=2) + "\n")
    text = f"""# Gradient routing: resnet8 on {title}

Test accuracy, float / int8 (fake-quantized), of one nested network with four levels against a
dense network and four stand-alone sparse ones. Each row is one training run: {options.epochs}
epochs (ramp, recovery, quantization-aware) from one dense pre-training of
{options.pretrain_epochs}, groups 1x4, batch 128. A nested run trains two levels a step. s/epoch:
wall time of a float epoch with the evaluation of its levels.
Machine: {options.machine}. Date: {options.date}.

{table(results)}

`shared`: a level's loss moves all weights the level contains. `shell`: only the weights it adds.
`mixed`: all it contains, half as strongly for each level further in.
Written by `docs/results/routing.py`; the numbers are in `routing.json`.
"""
    (HERE / "routing.md").write_text(text)


def main() -> None:
    """Train everything that is not finished yet."""
    options = arguments(__doc__ or "", "routing", pretrain_epochs=12, epochs=13).parse_args()
    results: list[Result] = []
    for seed in options.seeds:
        run(pretraining(options, seed), options.runs)
        for variant in variants(options, seed):
            folder = run(variant.config, options.runs)
            results.append(result(variant, folder))
            write(results, options, data_title(folder))
            print(table(results[-1:]))


if __name__ == "__main__":
    main()
