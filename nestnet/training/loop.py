"""Train a nested network: phases of epochs of steps, the step readable from top to bottom.

What surrounds a step has a file of its own: phases.py, what a phase begins with; schedule.py, what
a step is given by its place in the run; record.py, what an epoch leaves on disk.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import torch
from torch import nn

from codegen.errors import UserError
from nestnet import runs
from nestnet.config import Phase
from nestnet.net.finite import LARGEST, not_finite
from nestnet.sparsity.prune import moves_at
from nestnet.training import distributed
from nestnet.training.device import mixed_precision
from nestnet.training.evaluation import scores
from nestnet.training.phases import enter
from nestnet.training.progress import PhaseLine, budget_text
from nestnet.training.record import Epoch, record
from nestnet.training.schedule import learning_rate, levels_of_phase, levels_of_step
from nestnet.training.session import Session

LOSS_CHECK_STEPS = 25
"""Steps between checks that the loss is finite; a check waits for the device."""


def fit(session: Session, run: Path, first_epoch: int) -> None:
    """Train all epochs from ``first_epoch`` on; measure, record and save each.

    Raises:
        UserError: as :func:`train_epoch`, and where a file cannot be written.
    """
    for phase in session.config.phases():
        if phase.last <= first_epoch:
            continue
        done = max(first_epoch - phase.first, 0)
        if not done:
            enter(session, phase.name)
        with PhaseLine(phase, done, session.train.steps, session.console) as line:
            for epoch in range(phase.first + done, phase.last):
                _train_and_record(session, phase, epoch, line, run)


def train_epoch(session: Session, phase: Phase, epoch: int, line: PhaseLine, run: Path) -> float:
    """Train one epoch; return its mean loss.

    Raises:
        UserError: the loss, a weight or a statistic is not finite; nothing of this epoch is kept.
    """
    config, network, optimizer = session.config, session.network, session.optimizer
    steps = session.train.steps
    _begin(session, phase, epoch)
    total = torch.zeros((), device=session.device)
    batches = session.train.epoch(config.seed, epoch, session.augment)
    for step, (images, targets) in enumerate(batches):  # (n, c, h, w) and (n, ...)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, phase, epoch + step / steps)
        levels = levels_of_step(config, phase, epoch * steps + step)
        optimizer.zero_grad(set_to_none=True)
        with mixed_precision(session.device, session.amp_now):
            outputs = [network.logits(images, level) for level in levels]
            loss = session.task.loss(outputs, targets, images, config)
        torch.autograd.backward(loss)  # through each level's mask: what it prunes gets no gradient
        distributed.average_gradients(network)
        if config.clip:
            nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        optimizer.step()
        if session.average is not None:
            session.average.follow(epoch * steps + step)
        if phase.name == "ramp":
            _move_masks(session, (epoch - phase.first) * steps + step, phase.epochs * steps)

        total += loss.detach()
        if (step + 1) % LOSS_CHECK_STEPS == 0 or step + 1 == steps:
            _check_loss(float(total), epoch, run)
        line.step()
    distributed.average_statistics(network)
    if session.average is not None:
        with session.average.shown():
            distributed.average_statistics(network)
    _check_state(session, epoch, run)
    return float(total) / steps


def _train_and_record(
    session: Session, phase: Phase, epoch: int, line: PhaseLine, run: Path
) -> None:
    """Train one epoch, measure the levels it trained, show and save what it reached."""
    started = time.perf_counter()
    loss = train_epoch(session, phase, epoch, line, run)
    levels = levels_of_phase(session.config, phase)
    with session.averaged():
        found = tuple(scores(session.network, session.test, levels, session.amp_now))
    stored = None if session.budget is None else session.budget.stored_bytes
    line.epoch(loss, found, budget_text(session, stored))
    seconds = time.perf_counter() - started
    record(session, run, Epoch(phase.name, epoch + 1, loss, levels, found, stored, seconds))


def _begin(session: Session, phase: Phase, epoch: int) -> None:
    """Put the network into training mode, its random numbers decided by the epoch."""
    torch.manual_seed((session.config.seed + 1) * 7919 + epoch)  # dropout
    session.network.train()
    if session.quantized:
        still = epoch - phase.first >= session.int8.moving_share * phase.epochs
        session.network.freeze_observers(still)


def _move_masks(session: Session, step: int, steps: int) -> None:
    """Prune on after ``step`` of a ramp of ``steps``, where the masks move there."""
    if session.layers and moves_at(step, steps):
        session.prune((step + 1) / steps)


def _check_loss(loss: float, epoch: int, run: Path) -> None:
    if not math.isfinite(loss):
        raise _diverged("the loss stopped being a number", loss, epoch, run)


def _check_state(session: Session, epoch: int, run: Path) -> None:
    """Refuse weights and statistics that are not finite, which the loss need not show: those of a
    level that has not run since."""
    names = [name.removeprefix("body.") for name in not_finite(session.network)]
    if names:
        others = f" and {len(names) - 1} others" if len(names) > 1 else ""
        raise _diverged(
            f"'{names[0]}'{others} stopped being finite",
            f"NaN, infinity or beyond {LARGEST:g}",
            epoch,
            run,
        )


def _diverged(what: str, got: object, epoch: int, run: Path) -> UserError:
    kept = f"epoch {epoch} is kept in {run / runs.CHECKPOINT}" if epoch else "no epoch finished"
    return UserError(
        "training",
        f"{what} in epoch {epoch + 1}",
        got=got,
        expected="finite numbers",
        action=f"Train again with a lower --lr ({kept})",
    )
