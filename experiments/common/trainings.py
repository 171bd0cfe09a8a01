"""What comparisons of trainings share: one pre-training, resumable runs, their results.

Every model of a comparison starts from the same dense pre-training, then trains equally many epochs
with the same seed, batch order and learning rate. Finished runs are kept and an interrupted one
continues, so an experiment can be stopped and started again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from codegen import flow
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.ir import Graph
from nestnet import config, runs
from nestnet.cli.device_images import device_images
from nestnet.config import TrainConfig
from nestnet.training.train import resume, train

MODEL = "resnet8"
BOARD = "qemu_m4"
"""Where instructions are counted: the emulated Cortex-M4."""


@dataclass(frozen=True)
class Variant:
    """One trained model of a table."""

    title: str
    config: TrainConfig


@dataclass(frozen=True)
class Result:
    """What one finished run reached; tuples have one entry per level."""

    title: str
    name: str
    seed: int
    sparsity: tuple[float, ...]
    accuracy_float: tuple[float, ...]
    accuracy_int8: tuple[float, ...]
    seconds_per_epoch: float
    """Median of the epochs trained in float, with evaluation."""


def arguments(
    parser: argparse.ArgumentParser, folder: str, *, pretrain_epochs: int, epochs: int
) -> None:
    """Add the options every comparison has, with its own defaults."""
    parser.add_argument("--data", type=Path, required=True, help="directory or archive")
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--runs", type=Path, default=Path("runs") / folder, help="run folders")
    parser.add_argument("--pretrain-epochs", type=int, default=pretrain_epochs)
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])


def pretraining(options: argparse.Namespace, seed: int) -> TrainConfig:
    """Return the dense training all variants of ``seed`` start from."""
    return TrainConfig(
        name=f"pretrain-seed{seed}",
        model=MODEL,
        dataset=options.dataset,
        data=str(options.data),
        sparsity=(0.0,),
        epochs=options.pretrain_epochs,
        split=(1.0, 0.0, 0.0, 0.0),
        seed=seed,
    )


def run(wanted: TrainConfig, root: Path) -> Path:
    """Train ``wanted``, continue it, or do nothing if it is finished; return its folder."""
    folder = root / wanted.name
    if not folder.exists():
        return train(wanted, root)
    check_settings(folder, {field.name: getattr(wanted, field.name) for field in fields(wanted)})
    return folder if (folder / runs.MODEL).is_file() else resume(folder)


def check_settings(folder: Path, wanted: Mapping[str, Any]) -> None:
    """Refuse the run in ``folder`` unless it was trained with all settings that are ``wanted``.

    Raises:
        UserError: it was not.
    """
    found = config.load(folder / runs.CONFIG)
    other = [name for name, value in wanted.items() if getattr(found, name) != value]
    if other:
        raise UserError(
            str(folder),
            "a run with other settings lies here",
            got=f"its {runs.CONFIG}: {', '.join(other)}",
            expected="the settings of this experiment",
            action="Remove it, or name another folder with --runs",
        )


def result(variant: Variant, folder: Path) -> Result:
    """Read what the finished run in ``folder`` reached."""
    graph: Graph = nestfile.load(folder / runs.MODEL)
    lines = [json.loads(line) for line in (folder / runs.METRICS).read_text().splitlines()]
    seconds = [line["seconds"] for line in lines if not line["quantized"]]
    return Result(
        variant.title,
        variant.config.name,
        variant.config.seed,
        tuple(round(level.sparsity, 4) for level in graph.levels),
        tuple(float(level.accuracy_float or 0) for level in graph.levels),
        tuple(float(level.accuracy_quantized or 0) for level in graph.levels),
        round(statistics.median(seconds), 1),
    )


def instructions(folder: Path) -> tuple[int, ...]:
    """Return the instructions of one inference at every level of a finished run on BOARD."""
    images = device_images(folder / runs.MODEL, 1).inputs
    found = flow.bench(folder / runs.MODEL, BOARD, images, out=folder / f"bench-{BOARD}")
    return tuple(level.instructions or 0 for level in found.levels)


def about(options: argparse.Namespace, folder: Path, split: Sequence[float]) -> dict[str, Any]:
    """Return what the runs of a comparison have in common; ``folder`` is a finished one."""

    return {
        "model": MODEL,
        "dataset": nestfile.load(folder / runs.MODEL).provenance.dataset,
        "pretrain_epochs": options.pretrain_epochs,
        "epochs": options.epochs,
        "split": split,
        "board": BOARD,
    }
