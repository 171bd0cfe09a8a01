"""Tasks by name. Each public module of this package is one task.

A module called ``<name>.py`` adds the task ``<name>``: its ``TASK`` is a :class:`Task`. What its
outputs mean to a device is in ``codegen/tasks/<name>.py``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from codegen.errors import UserError
from nestnet import datasets
from nestnet.config import AUTO, TrainConfig, unknown_name
from nestnet.datasets import Dataset
from nestnet.tasks._task import Answers, Task

__all__ = ["Answers", "Task", "defaults", "names", "of", "with_data"]


def names() -> tuple[str, ...]:
    """Return the names of all tasks, sorted."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name[0] != "_"))


def of(name: str) -> Task:
    """Return the task called ``name``.

    Raises:
        UserError: there is no such task.
    """
    if name not in names():
        raise unknown_name("config key 'task'", "no such task", name, names())
    task: Task = importlib.import_module(f"{__name__}.{name}").TASK
    return task


def with_data(config: TrainConfig, data: str = "") -> tuple[Task, Dataset]:
    """Return the task of a training and its data set, which fit; of the data set's own task unless
    ``config`` names another.

    Args:
        config: names both.
        data: where the data set lies, if not where ``config`` says.

    Raises:
        UserError: as :func:`of` and :func:`nestnet.datasets.load`, or data that is not for the
            task.
    """
    known = None if config.task == AUTO else of(config.task)
    found = datasets.of(config, data)
    task = known or of(found.task)
    if known is not None and found.task not in (config.task, *known.takes):
        raise UserError(
            "--task",
            "the data set is not for this task",
            got=config.task,
            expected=f"{found.task}, which {found.name} {config.data}".rstrip() + " is for",
            action="Leave --task out, or choose other data",
        )
    task.check_data(found)
    return task.fitted(found), found


def defaults(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the task of a training sets where ``given``, names and values, does not.

    Without a ``task`` it is the one that the data set's module names.

    Raises:
        UserError: there is no such task or data set.
    """
    keys = ("task", "dataset", "sparsity", "init_from")
    known = {key: given[key] for key in keys if key in given}
    config = TrainConfig(**known)
    name = datasets.task_of(config.dataset) if config.task == AUTO else config.task
    return of(name).defaults(config)
