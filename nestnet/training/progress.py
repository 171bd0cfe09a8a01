"""What a training run shows: its plan, a progress line per phase, its results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from nestnet import runs
from nestnet.config import Phase, TrainConfig
from nestnet.training.session import Session


class PhaseLine:
    """Progress of one phase, steps as the unit; use as a context manager."""

    def __init__(self, phase: Phase, done: int, steps: int, console: Console) -> None:
        """Start at ``done`` finished epochs of ``steps`` training steps each."""
        self._phase = phase
        self._steps = steps
        self._done = done
        self._loss = float("nan")
        self._progress = Progress(
            TextColumn("{task.fields[phase]:9s}"),
            BarColumn(bar_width=14),
            TextColumn("{task.fields[epoch]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[result]}"),
            console=console,
        )
        self._task: TaskID = self._progress.add_task(
            "",
            total=phase.epochs * steps,
            completed=done * steps,
            phase=phase.name,
            epoch=f"{min(done + 1, phase.epochs)}/{phase.epochs}",
            result="",
        )

    def __enter__(self) -> PhaseLine:
        """Show the line."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the line as it stands."""
        self._progress.stop()

    def step(self) -> None:
        """Count one training step."""
        self._progress.advance(self._task)

    def epoch(self, loss: float, scores: Sequence[float], note: str = "") -> None:
        """Show an epoch's mean loss, the levels' scores, sparsest first, and a note."""
        self._done += 1
        shown = min(self._done + 1, self._phase.epochs)
        self._progress.update(
            self._task,
            completed=self._done * self._steps,
            epoch=f"{shown}/{self._phase.epochs}",
            result=f"loss {loss:.3f}  {' '.join(f'{a:.1%}' for a in scores)}  {note}".rstrip(),
        )


def level_text(levels: Sequence[int], scores: Sequence[float]) -> str:
    """Return scores as ``L0 81.2 %  L1 83.0 %``."""
    return "  ".join(f"L{k} {a:.1%}" for k, a in zip(levels, scores, strict=True))


def plan_text(config: TrainConfig, model: str, metric: str) -> str:
    """Return what is printed before training: what is trained and how the epochs are split.

    ``metric`` is what the score of its task is called.
    """
    split = ", ".join(f"{phase.name} {phase.epochs}" for phase in config.phases())
    levels = " / ".join(f"{sparsity:.0%}" for sparsity in config.sparsity)
    if config.flash_bytes:
        densest = 1.0 - config.sparsity[-1]
        shares = " / ".join(f"{(1.0 - sparsity) / densest:.0%}" for sparsity in config.sparsity)
        levels = f"as the flash asks, levels keep {shares} of the densest one's weights"
        if config.levels == 1:
            levels = "as the flash asks"
    sizes = config.group_sizes
    groups = f"1x{sizes[0]}" if len(sizes) == 1 else "chosen per layer"
    what = f"{model} on {config.dataset}, sparsity {levels}, groups {groups}"
    return f"{what}\nepochs: {split}; test {metric} shown"


def show_results(session: Session, run: Path, done: str, quantized: Sequence[float]) -> None:
    """Print every level's scores and where the network is."""
    levels = range(session.config.levels)
    plain = level_text(levels, session.accuracy_float)
    before = "before the quantization-aware epochs"
    if all(phase.name != "quantize" for phase in session.config.phases()):
        before = "there were no quantization-aware epochs"
    session.console.print(f"float  {plain}  ({before})", soft_wrap=True)
    session.console.print(f"int8   {level_text(levels, quantized)}")
    session.console.print(f"{done:5}  {run / runs.MODEL}")


def budget_text(session: Session, stored: int | None) -> str:
    """Return the exact bytes beside the budget; empty without one."""
    return "" if stored is None else f"{stored:,}/{session.config.flash_bytes:,} B"
