"""Compare gradient routings: nested resnet8 against the dense and the stand-alone sparse models.

Runs are kept in ``--runs``; an experiment that was stopped goes on from them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from experiments.common import trainings
from experiments.common.markdown import table
from experiments.common.trainings import Variant, pretraining, result, run
from nestnet.config import ROUTINGS

COST = "some 70 minutes on one core"
SPARSITY = (0.9, 0.8, 0.7, 0.5)
SPLIT = (0.0, 0.35, 0.5, 0.15)
"""Shares of warm-up (done by the pre-training), ramp, recovery, quantization-aware epochs."""
TOOLS = ()
SEEDS = ()
"""Said by ``--seeds``."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a comparison of trainings."""
    trainings.arguments(parser, "routing", pretrain_epochs=12, epochs=10)


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


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Train everything that is not finished yet; yield what is."""
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        run(pretraining(options, seed), options.runs)
        for variant in variants(options, seed):
            folder = run(variant.config, options.runs)
            rows.append(asdict(result(variant, folder)))
            yield {**trainings.about(options, folder, SPLIT), "runs": rows}


def columns(sparsity: list[float]) -> dict[str, int]:
    """Return which level belongs under which column of the table."""
    if sparsity == [0.0]:
        return {"dense": 0}
    return {f"{round(share * 100):d}": level for level, share in enumerate(sparsity)}


def page(findings: Mapping[str, Any]) -> str:
    """Return the table, one row per model and seed, and what it shows."""
    shares = [*(f"{s * 100:.0f}" for s in SPARSITY), "dense"]
    heads = [f"{share} % sparse" if share != "dense" else share for share in shares]
    rows = []
    for row in findings["runs"]:
        where = columns(row["sparsity"])
        cells = [
            f"{row['accuracy_float'][where[s]]:.2%} / {row['accuracy_int8'][where[s]]:.2%}"
            if s in where
            else ""
            for s in shares
        ]
        rows.append([row["title"], row["seed"], *cells, f"{row['seconds_per_epoch']:.0f}"])
    return f"""# Gradient routing: {findings["model"]} on {findings["dataset"]}

Test accuracy, float / int8 (fake-quantized), of one nested network with four levels against a
dense network and four stand-alone sparse ones. Each row is one training run: {findings["epochs"]}
epochs (ramp, recovery, quantization-aware) from one dense pre-training of
{findings["pretrain_epochs"]}, groups 1x4, batch 128. A nested run trains two levels a step.
s/epoch: wall time of a float epoch with the evaluation of its levels.

{table(["model", "seed", *heads, "s/epoch"], rows)}

`shared`: a level's loss moves all weights the level contains. `shell`: only the weights it adds.
`mixed`: all it contains, half as strongly for each level further in.
"""


def problems(findings: Mapping[str, Any]) -> list[str]:
    """Return nothing: accuracies are found, not promised."""
    return []
