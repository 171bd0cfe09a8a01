"""Train a nested network: dense warm-up, pruning ramp, recovery, quantization-aware training.

A run is a folder; after every epoch its checkpoint is replaced, so that a run killed at any moment
continues from the last finished epoch and ends, on a CPU, in the same weights.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from codegen.errors import UserError
from nestnet import config as configs
from nestnet import runs
from nestnet.config import Phase, TrainConfig, to_toml
from nestnet.exporting.model_file import finished, write_model
from nestnet.net.finite import LARGEST, check_ranges, not_finite
from nestnet.runfiles import alone, write_atomic, writing
from nestnet.sparsity.prune import achieved_sparsity, moves_at, prune
from nestnet.sparsity.schedule import one_cycle
from nestnet.training import distributed
from nestnet.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from nestnet.training.device import mixed_precision, suitable_threads
from nestnet.training.evaluation import accuracies
from nestnet.training.losses import levels_of_step, training_loss
from nestnet.training.progress import PhaseLine, level_text, plan_text
from nestnet.training.recalibration import refresh_statistics, spread_densest, start_quantization
from nestnet.training.rehearsal import rehearse
from nestnet.training.session import Session, named_after, prepare, restore

LOSS_CHECK_STEPS = 25
"""Steps between checks that the loss is finite; a check waits for the device."""
OBSERVING_SHARE = 0.6
"""Share of the quantization-aware epochs in which activation ranges still move."""


def train(
    config: TrainConfig,
    root: Path = runs.DEFAULT_ROOT,
    *,
    quiet: bool = False,
    module: nn.Module | None = None,
) -> Path:
    """Train a new run below ``root`` and return its folder.

    Everything a user can get wrong is checked before the folder is made, also what only the end of
    the training does: the untrained network is quantized, exported and verified once. ``module`` is
    trained instead of the model the configuration names.

    Raises:
        UserError: configuration, data or model cannot be used; the loss stops being a number.
    """
    config = named_after(config, module)
    if config.flash_total_bytes and not config.flash_bytes:
        raise UserError(
            "flash_total_bytes",
            "the firmware around the weights has not been measured",
            got="no flash_bytes",
            expected="what it leaves for weights and tables",
            action="Train with nestnet.train or the command line, which measure it",
        )
    if config.init_from:
        config = replace(config, init_from=str(runs.weights(config.init_from, root)))
    session = prepare(config, quiet, module)
    rehearse(session)
    run = runs.create(config, root) if session.processes.leads else root
    run = Path(distributed.agree(str(run)))
    return _train(session, run, first_epoch=0)


def resume(run: Path, *, quiet: bool = False, module: nn.Module | None = None) -> Path:
    """Continue the run in folder ``run`` after its last finished epoch; return the folder.

    A run that was trained from a ``module`` needs one of the same class again.

    Raises:
        UserError: the folder's configuration or checkpoint cannot be used.
    """
    config = configs.load(run / runs.CONFIG)
    if not (run / runs.CHECKPOINT).is_file():
        return _train(prepare(config, quiet, module), run, first_epoch=0)
    state = load_checkpoint(run / runs.CHECKPOINT)
    if configs.from_toml(state.config_toml, str(run / runs.CHECKPOINT)) != config:
        raise UserError(
            str(run / runs.CONFIG),
            "is not the configuration of the checkpoint",
            got="a changed file",
            expected="the file the run started with",
            action="Undo the change, or train a new run",
        )
    fresh = replace(config, init_from="")  # its weights are not needed
    session = prepare(fresh, quiet, module, resumed=True)
    session.config = config
    restore(session, state)
    return _train(session, run, state.epoch)


def _train(session: Session, run: Path, first_epoch: int) -> Path:
    """Train from ``first_epoch`` on and finish, unless another process trains the same run."""
    with alone(run) if session.processes.leads else nullcontext():
        return _train_alone(session, run, first_epoch)


def _train_alone(session: Session, run: Path, first_epoch: int) -> Path:
    """Train from ``first_epoch`` on and finish; Ctrl-C says how to continue.

    A finished run is shown and left as it is: it may lie where nothing can be written.
    """
    made = finished(run) if first_epoch == session.config.epochs else None
    if made is not None:
        _show(session, run, "kept", [level.accuracy_quantized or 0.0 for level in made.levels])
        distributed.leave()
        return run
    session.console.print(plan_text(session.config, session.model))
    if session.budget is not None:
        session.console.print(session.budget.plan(), soft_wrap=True)
    if session.processes.leads:
        with writing(run):
            _drop_metrics(run / runs.METRICS, first_epoch)
    try:
        with suitable_threads(session.macs_per_step):
            for phase in session.config.phases():
                if phase.last > first_epoch:
                    _train_phase(session, phase, max(phase.first, first_epoch), run)
            return _finish(session, run)
    except KeyboardInterrupt:
        text = f"Interrupted. To continue: nestnet train --resume {run}"
        session.console.print(text, soft_wrap=True)
        raise
    finally:
        distributed.leave()


def _train_phase(session: Session, phase: Phase, first: int, run: Path) -> None:
    """Train ``phase`` from epoch ``first`` on; record and save every epoch."""
    if first == phase.first:
        _enter(session, phase.name)
    with PhaseLine(phase, first - phase.first, session.train.steps, session.console) as line:
        for epoch in range(first, phase.last):
            started = time.perf_counter()
            loss = _train_epoch(session, phase, epoch, line, run)
            levels = _trained_levels(session, phase.name)
            amp = session.amp and not session.quantized
            found = accuracies(session.network, session.test, levels, amp)
            stored = None if session.budget is None else session.budget.stored_bytes
            line.epoch(loss, found, _budget_text(session, stored))
            if session.processes.leads:
                seconds = time.perf_counter() - started
                with writing(run):
                    _record(session, run, phase.name, epoch, loss, levels, found, stored, seconds)
                    _save(session, run, epoch + 1)


def _enter(session: Session, phase: str) -> None:
    """Prepare the network for the first epoch of ``phase``."""
    unpruned = all(layer.module.level_map is None for layer in session.layers.values())
    if session.layers and unpruned and phase != "warm-up":
        spread_densest(session.network)
        if phase != "ramp":
            _prune(session, 1.0)
    if phase == "quantize":
        _quantize(session)


def _quantize(session: Session) -> None:
    """End the float phases: note their accuracy, then turn fake quantization on.

    The masks stay as the ramp left them: the weights have moved since, and a new ranking would
    exchange trained groups for untrained ones.
    """
    seed = session.config.seed
    refresh_statistics(session.network, session.train, seed)
    levels = range(session.config.levels)
    session.accuracy_float = tuple(accuracies(session.network, session.test, levels))
    start_quantization(session.network, session.train, seed)
    check_ranges(session.network)
    session.quantized = True


def _trained_levels(session: Session, phase: str) -> list[int]:
    """Return the levels that ``phase`` trains: the warm-up only the densest, unpruned."""
    levels = session.config.levels
    return [levels - 1] if phase == "warm-up" else list(range(levels))


def _prune(session: Session, progress: float) -> None:
    config = session.config
    if session.budget is not None:
        session.budget.prune(progress)
        return
    prune(session.layers, config.sparsity, progress, config.group_size, config.allocation)


def _train_epoch(session: Session, phase: Phase, epoch: int, line: PhaseLine, run: Path) -> float:
    """Train one epoch; return its mean loss.

    Raises:
        UserError: the loss, a weight or a statistic is not finite; nothing of this epoch is kept.
    """
    config, network, optimizer = session.config, session.network, session.optimizer
    amp = session.amp and not session.quantized
    steps = session.train.steps
    torch.manual_seed((config.seed + 1) * 7919 + epoch)  # dropout
    network.train()
    if session.quantized:
        network.freeze_observers(epoch - phase.first >= OBSERVING_SHARE * phase.epochs)
    total = torch.zeros((), device=session.device)
    for step, (images, labels) in enumerate(
        session.train.epoch(config.seed, epoch, session.augment)
    ):
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(config, phase, epoch + step / steps)
        if phase.name == "warm-up":
            active: tuple[int, ...] = (config.levels - 1,)
        else:
            active = levels_of_step(config.levels, epoch * steps + step, config.seed)
        optimizer.zero_grad(set_to_none=True)
        with mixed_precision(session.device, amp):
            loss = training_loss(
                network.logits,
                images,
                labels,
                active,
                config.distill_weight,
                config.distill_temperature,
            )
        torch.autograd.backward(loss)
        distributed.average_gradients(network)
        optimizer.step()
        if phase.name == "ramp" and session.layers:
            position, length = (epoch - phase.first) * steps + step, phase.epochs * steps
            if moves_at(position, length):
                _prune(session, (position + 1) / length)
        total += loss.detach()
        if (step + 1) % LOSS_CHECK_STEPS == 0 or step + 1 == steps:
            _check_loss(float(total), epoch, run)
        line.step()
    distributed.average_statistics(network)
    _check_state(session, epoch, run)
    return float(total) / steps


def _learning_rate(config: TrainConfig, phase: Phase, epochs_done: float) -> float:
    """Return the rate: one cycle over all float phases, a second, lower one when quantized."""
    if phase.name == "quantize":
        return one_cycle(config.lr_quantized, (epochs_done - phase.first) / phase.epochs)
    last = max(p.last for p in config.phases() if p.name != "quantize")
    return one_cycle(config.lr, epochs_done / last)


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


def _record(
    session: Session,
    run: Path,
    phase: str,
    epoch: int,
    loss: float,
    levels: list[int],
    found: list[float],
    stored: int | None,
    seconds: float,
) -> None:
    """Append one line per level to metrics.jsonl."""
    pruned = achieved_sparsity(session.layers, session.config.levels)
    with open(run / runs.METRICS, "a", encoding="utf-8") as file:
        for level, value in zip(levels, found, strict=True):
            entry = {
                "epoch": epoch + 1,
                "phase": phase,
                "level": level,
                "sparsity": round(pruned[level], 6),
                **({} if stored is None else {"stored_bytes": stored}),
                "loss": loss,
                "accuracy": value,
                "quantized": session.quantized,
                "seconds": round(seconds, 3),
            }
            file.write(json.dumps(entry) + "\n")


def _budget_text(session: Session, stored: int | None) -> str:
    """Return the exact bytes beside the budget; empty without one."""
    return "" if stored is None else f"{stored:,}/{session.config.flash_bytes:,} B"


def _drop_metrics(path: Path, first_epoch: int) -> None:
    """Remove the lines of epochs that will be trained again, and a line cut by a kill."""
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [s for s in lines if s.endswith("\n") and json.loads(s)["epoch"] <= first_epoch]
    write_atomic(path, "".join(kept).encode())


def _save(session: Session, run: Path, epoch: int) -> None:
    """Replace the run's checkpoint by the state after ``epoch`` finished epochs."""
    names = {id(p): name for name, p in session.network.named_parameters()}
    momentum = {
        names[id(p)]: state["momentum_buffer"]
        for p, state in session.optimizer.state.items()
        if state.get("momentum_buffer") is not None
    }
    state = Checkpoint(
        config_toml=to_toml(session.config),
        epoch=epoch,
        input_shape=session.input_shape,
        class_names=session.class_names,
        accuracy_float=session.accuracy_float,
        quantized=session.quantized,
        network=session.network.state_dict(),
        momentum=momentum,
        budget=None if session.budget is None else session.budget.state(),
    )
    save_checkpoint(state, run / runs.CHECKPOINT)


def _finish(session: Session, run: Path) -> Path:
    """Write the final checkpoint and model.nestnet; print every level's accuracy."""
    if not session.quantized:
        _enter(session, "quantize")
    if session.budget is not None:
        session.budget.trim()
    levels = list(range(session.config.levels))
    quantized = accuracies(session.network, session.test, levels)
    if session.processes.leads:
        with writing(run):
            _write_results(session, run, quantized)
    _show(session, run, "wrote", quantized)
    return run


def _show(session: Session, run: Path, done: str, quantized: Sequence[float]) -> None:
    """Print every level's accuracies and where the network is."""
    levels = range(session.config.levels)
    plain = level_text(levels, session.accuracy_float)
    before = "before the quantization-aware epochs"
    session.console.print(f"float  {plain}  ({before})", soft_wrap=True)
    session.console.print(f"int8   {level_text(levels, quantized)}")
    if session.budget is not None:
        session.console.print(f"flash  {session.budget.summary()}")
    session.console.print(f"{done:5}  {run / runs.MODEL}")


def _write_results(session: Session, run: Path, quantized: list[float]) -> None:
    """Write the final checkpoint and model.nestnet, with every level's int8 accuracy."""
    _save(session, run, session.config.epochs)
    write_model(
        session.network,
        session.layers,
        run,
        model=session.model,
        dataset=session.data_title,
        class_names=session.class_names,
        accuracy_float=session.accuracy_float,
        accuracy_quantized=quantized,
        flash_budget_bytes=session.config.flash_bytes or None,
        codecs=session.config.codecs if session.config.flash_bytes else None,
    )
