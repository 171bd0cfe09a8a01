"""Tasks by name. Each public module of this package is one task.

A module called ``<name>.py`` adds the task ``<name>``: its ``TASK`` is a :class:`Task`. What its
outputs mean to a device is in ``codegen/tasks/<name>.py``.
"""

from __future__ import annotations

import importlib
import pkgutil

from nestnet.config import unknown_name
from nestnet.tasks._task import Task

__all__ = ["Task", "names", "of"]


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
