"""The operators, one file each: what is in this folder is an operator, and nothing lists it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping, Sequence
from types import ModuleType

from nestnet.net.stages import Stage
from nestnet.net.walk import Aten

_MODULES: tuple[ModuleType, ...] = tuple(
    importlib.import_module(f"{__name__}.{entry.name}")
    for entry in pkgutil.iter_modules(__path__)
    if not entry.ispkg
)


def stages_in(modules: Sequence[ModuleType]) -> dict[str, type[Stage]]:
    """Return the stages of ``modules`` by class name.

    Raises:
        TypeError: one leaves unsaid what every operator has to say.
    """
    found: dict[str, type[Stage]] = {}
    for module in modules:
        for name, kind in vars(module).items():
            if inspect.isclass(kind) and kind.__module__ == module.__name__:
                if not issubclass(kind, Stage):
                    continue
                lacking = sorted(unsaid(kind))
                if lacking:
                    raise TypeError(f"{module.__name__}: {name} lacks {', '.join(lacking)}")
                found[name] = kind
    return found


def unsaid(kind: type[Stage]) -> set[str]:
    """Return what an operator does not say of all that every one has to."""
    stated = {name for name, hint in Stage.__annotations__.items() if "ClassVar" in str(hint)}
    return {name for name in stated if not hasattr(kind, name)} | set(kind.__abstractmethods__)


def aten_in(modules: Sequence[ModuleType]) -> dict[str, Aten]:
    """Return how ``modules`` read the operators of exported graphs, by name.

    Raises:
        TypeError: a file reads none, or one that another file reads.
    """
    found: dict[str, Aten] = {}
    readers: dict[str, str] = {}
    for module in modules:
        rows: Mapping[str, Aten] = getattr(module, "ATEN", {})
        if not rows or not getattr(module, "SPELLED", ""):
            raise TypeError(f"{module.__name__} lacks ATEN or SPELLED")
        for name, row in rows.items():
            if name in readers:
                raise TypeError(f"{module.__name__} reads {name}, as {readers[name]} does")
            found[name], readers[name] = row, module.__name__
    return found


STAGES: Mapping[str, type[Stage]] = stages_in(_MODULES)
"""By class name."""

ATEN: Mapping[str, Aten] = aten_in(_MODULES)
"""Operator without overload -> how it is read; in-place forms share the entry."""

SUPPORTED = ", ".join(module.SPELLED for module in _MODULES)
"""What messages list as supported."""

ACTIVATIONS: tuple[str, ...] = tuple(name for kind in STAGES.values() for name in kind.activations)
"""Activation functions there are, as modules of torch.nn."""
