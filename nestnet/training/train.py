"""Start a training run, or continue one.

A run is a folder; after every epoch its checkpoint is replaced, so that a run killed at any moment
continues from the last finished epoch and ends, on a CPU, in the same weights.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from torch import nn

from codegen.errors import UserError
from nestnet import config as configs
from nestnet import runs
from nestnet.config import TrainConfig
from nestnet.exporting.model_file import finished
from nestnet.runfiles import alone, writing
from nestnet.training import distributed
from nestnet.training.checkpoint import load_checkpoint
from nestnet.training.device import suitable_threads
from nestnet.training.loop import fit
from nestnet.training.progress import plan_text, show_results
from nestnet.training.record import drop_metrics, finish
from nestnet.training.rehearsal import rehearse
from nestnet.training.session import Session, named_after, prepare
from nestnet.training.state import restore


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
    run = runs.create(session.config, root) if session.processes.leads else root
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
        show_results(session, run, "kept", [x.accuracy_quantized or 0.0 for x in made.levels])
        distributed.leave()
        return run
    session.console.print(plan_text(session.config, session.model, session.task.metric))
    if session.budget is not None:
        session.console.print(session.budget.plan(), soft_wrap=True)
    if session.processes.leads:
        with writing(run):
            drop_metrics(run / runs.METRICS, first_epoch)
    try:
        with suitable_threads(session.macs_per_step):
            fit(session, run, first_epoch)
            finish(session, run)
    except KeyboardInterrupt:
        text = f"Interrupted. To continue: nestnet train --resume {run}"
        session.console.print(text, soft_wrap=True)
        raise
    finally:
        distributed.leave()
    return run
