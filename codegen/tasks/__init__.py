"""Tasks by the outputs of a network. Each public module of this package is one, its ``TASK``."""

from __future__ import annotations

import importlib
import pkgutil

from codegen.graph.ir import Graph
from codegen.tasks._task import Answer, Targets, Task

__all__ = ["TASKS", "Answer", "Targets", "Task", "of"]


def _tasks() -> dict[str, Task]:
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name[0] != "_")
    return {name: importlib.import_module(f"{__name__}.{name}").TASK for name in names}


TASKS: dict[str, Task] = _tasks()
"""By name, which is that of the file."""


def of(graph: Graph) -> Task | None:
    """Return the task whose outputs those of ``graph`` are; None where no task knows them."""
    return next((task for task in TASKS.values() if task.fits(graph)), None)
