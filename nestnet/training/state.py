"""A session as a checkpoint, and back."""

from __future__ import annotations

from codegen.errors import UserError
from nestnet.config import to_toml
from nestnet.training.checkpoint import Checkpoint
from nestnet.training.optimizer import load_state, state_by_name
from nestnet.training.session import Session


def state_of(session: Session, epoch: int) -> Checkpoint:
    """Return what a run goes on from after ``epoch`` finished epochs."""
    return Checkpoint(
        config_toml=to_toml(session.config),
        epoch=epoch,
        input_shape=session.data.input_shape,
        class_names=session.output_names,
        accuracy_float=session.accuracy_float,
        quantized=session.quantized,
        network=session.network.state_dict(),
        optimizer=state_by_name(session.optimizer, session.network),
        average={} if session.average is None else session.average.state(),
        budget=None if session.budget is None else session.budget.state(),
    )


def restore(session: Session, state: Checkpoint) -> None:
    """Put the ``state`` of a checkpoint into a fresh session.

    Raises:
        UserError: the checkpoint is of other data than the session's, or of another network, as
            after a change of the model's code.
    """
    _check_data(session, state)
    try:
        session.network.load_state_dict(dict(state.network))
    except RuntimeError as error:
        details = [line.strip() for line in str(error).splitlines()[1:]]
        raise UserError(
            "checkpoint",
            f"does not fit the model {session.model}",
            got=details[0] if details else error,
            expected="the model that the run was started with",
            action="Undo the change of the model, or train a new run",
        ) from error
    load_state(session.optimizer, session.network, state.optimizer)
    if state.quantized:
        session.average = None
    if session.average is not None:
        session.average.restore(state.average)
    if session.budget is not None and state.budget is not None:
        session.budget.restore(state.budget)
        session.layers = {} if session.budget.trains_dense else session.budget.layers
    session.accuracy_float = state.accuracy_float
    session.quantized = state.quantized
    session.network.set_quantize(state.quantized, bn_frozen=state.quantized)


def _check_data(session: Session, state: Checkpoint) -> None:
    """Refuse data that has changed since the run began: other classes or another image shape."""
    session.task.check_same(
        f"{session.config.dataset} {session.config.data}".rstrip(),
        state.class_names,
        session.output_names,
        "Name the class folders as they were, or train a new run",
    )
    if session.data.input_shape != state.input_shape:
        raise UserError(
            f"{session.config.dataset} {session.config.data}".rstrip(),
            "the images have another shape than those the run was trained on",
            got="x".join(map(str, session.data.input_shape)),
            expected="x".join(map(str, state.input_shape)),
            action="Give the images the run was trained on, or train a new run",
        )
