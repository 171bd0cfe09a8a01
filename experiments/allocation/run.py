"""Compare allocations of sparsity: accuracy and executed instructions of nested resnet8.

Runs are kept in ``--runs``; an experiment that was stopped goes on from them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from experiments.common import trainings
from experiments.common.markdown import table
from experiments.common.trainings import Variant, instructions, pretraining, result, run
from nestnet.config import ALLOCATIONS

COST = "some 40 minutes on one core"
SPARSITY = (0.9, 0.8, 0.7, 0.5)
SPLIT = (0.0, 0.55, 0.25, 0.2)
"""Shares of warm-up (done by the pre-training), ramp, recovery, quantization-aware epochs."""
TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")
SEEDS = ()
"""Said by ``--seeds``."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a comparison of trainings."""
    trainings.arguments(parser, "allocation", pretrain_epochs=22, epochs=9)


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


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Train everything that is not finished yet; yield what is."""
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        run(pretraining(options, seed), options.runs)
        for variant in variants(options, seed):
            folder = run(variant.config, options.runs)
            trained = asdict(result(variant, folder))
            rows.append({"trained": trained, "instructions": instructions(folder)})
            yield {**trainings.about(options, folder, SPLIT), "runs": rows}


def page(findings: Mapping[str, Any]) -> str:
    """Return the table, one row per allocation and seed, and what it shows."""
    rows = []
    for row in findings["runs"]:
        trained = row["trained"]
        cells = [
            f"{accuracy:.2%}, {count / 1e6:.2f} M".replace("%", " %")
            for accuracy, count in zip(trained["accuracy_int8"], row["instructions"], strict=True)
        ]
        rows.append([trained["title"], trained["seed"], *cells])
    heads = [f"{share:.0%} sparse".replace("%", " %") for share in SPARSITY]
    return f"""# Allocation of sparsity: {findings["model"]} on {findings["dataset"]}

Test accuracy (int8, fake-quantized) and executed instructions of one inference (emulated Cortex-M4,
gcc -O3) of one nested network with four levels. Each row is one training run:
{findings["epochs"]} epochs (ramp, recovery, quantization-aware) from one dense pre-training of
{findings["pretrain_epochs"]}, groups 1x4, batch 128, learning rate 0.05. The rows take about the
same flash.

{table(["allocation", "seed", *heads], rows)}

`global`: the groups of all layers are ranked by magnitude. `latency`: by what a group contributes
per multiply-accumulate, so layers on large maps are pruned more. `uniform`: every layer has the
level's sparsity.
"""


def problems(findings: Mapping[str, Any]) -> list[str]:
    """Return nothing: accuracies are found, not promised."""
    return []
