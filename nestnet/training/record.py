"""What an epoch and the end of a training leave in the run's folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from nestnet import runs
from nestnet.exporting.model_file import write_model
from nestnet.runfiles import write_atomic, writing
from nestnet.sparsity.prune import achieved_sparsity
from nestnet.training.checkpoint import save_checkpoint
from nestnet.training.evaluation import answers, scores
from nestnet.training.phases import enter
from nestnet.training.progress import show_results
from nestnet.training.session import Session
from nestnet.training.state import state_of


@dataclass(frozen=True)
class Epoch:
    """What one epoch reached."""

    phase: str
    number: int
    """Counted from 1."""
    loss: float
    """Mean over the steps."""
    levels: tuple[int, ...]
    """Those that the phase trains."""
    scores: tuple[float, ...]
    """Of ``levels``, on the test images, 0..1."""
    stored_bytes: int | None
    """Of weights and tables; None without a flash budget."""
    seconds: float


def record(session: Session, run: Path, epoch: Epoch) -> None:
    """Append one line per level to metrics.jsonl, then replace the checkpoint."""
    if not session.processes.leads:
        return
    with writing(run):
        _append_metrics(session, run / runs.METRICS, epoch)
        save_checkpoint(state_of(session, epoch.number), run / runs.CHECKPOINT)


def _append_metrics(session: Session, path: Path, epoch: Epoch) -> None:
    pruned = achieved_sparsity(session.layers, session.config.levels)
    stored = {} if epoch.stored_bytes is None else {"stored_bytes": epoch.stored_bytes}
    with open(path, "a", encoding="utf-8") as file:
        for level, score in zip(epoch.levels, epoch.scores, strict=True):
            entry = {
                "epoch": epoch.number,
                "phase": epoch.phase,
                "level": level,
                "sparsity": round(pruned[level], 6),
                **stored,
                "loss": epoch.loss,
                "accuracy": score,
                "quantized": session.quantized,
                "seconds": round(epoch.seconds, 3),
            }
            file.write(json.dumps(entry) + "\n")


def drop_metrics(path: Path, first_epoch: int) -> None:
    """Remove the lines of epochs that will be trained again, and a line cut by a kill."""
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [s for s in lines if s.endswith("\n") and json.loads(s)["epoch"] <= first_epoch]
    write_atomic(path, "".join(kept).encode())


def finish(session: Session, run: Path) -> None:
    """Write the final checkpoint and model.nestnet; print every level's score."""
    if not session.quantized:
        enter(session, "quantize")
    if session.budget is not None:
        session.budget.trim()
    levels = list(range(session.config.levels))
    quantized = scores(session.network, session.test, levels)
    if session.processes.leads:
        with writing(run):
            _write_results(session, run, quantized)
    show_results(session, run, "wrote", quantized)


def _write_results(session: Session, run: Path, quantized: list[float]) -> None:
    """Write the final checkpoint and model.nestnet, with every level's int8 score."""
    save_checkpoint(state_of(session, session.config.epochs), run / runs.CHECKPOINT)
    write_model(
        session.network,
        session.layers,
        run,
        model=session.model,
        dataset=session.data.title,
        class_names=session.output_names,
        task=session.task,
        trained=lambda level: answers(session.network, session.train, level),
        accuracy_float=session.accuracy_float,
        accuracy_quantized=quantized,
        flash_budget_bytes=session.config.flash_bytes or None,
        codecs=session.config.codecs if session.config.flash_bytes else None,
    )
