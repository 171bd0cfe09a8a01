"""Tasks of networks. Each public module of this package is one, its ``TASK``."""

from __future__ import annotations

import importlib
import pkgutil

from codegen.graph.ir import Graph
from codegen.tasks._task import Answer, Frame, Outcome, Targets, Task

__all__ = ["TASKS", "Answer", "Frame", "Outcome", "Targets", "Task", "of"]


def _tasks() -> dict[str, Task]:
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name[0] != "_")
    return {name: importlib.import_module(f"{__name__}.{name}").TASK for name in names}


TASKS: dict[str, Task] = _tasks()
"""By name, which is that of the file."""


def of(graph: Graph) -> Task | None:
    """Return the task that ``graph`` was trained for, by its file or else by its outputs; None
    where it fits none."""
    if graph.task is None:
        known = [task for task in TASKS.values() if task.is_guessed]
    else:
        known = [task for name, task in TASKS.items() if name == graph.task.name]
    return next((task for task in known if task.fits(graph)), None)
