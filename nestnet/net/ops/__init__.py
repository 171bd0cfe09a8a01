"""The operators, one file each: what is in this folder is an operator, and nothing lists it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from types import ModuleType

from nestnet.net.stages import Stage
from nestnet.net.walk import Aten

_MODULES: tuple[ModuleType, ...] = tuple(
    importlib.import_module(f"{__name__}.{entry.name}")
    for entry in pkgutil.iter_modules(__path__)
    if not entry.ispkg
)


def _stages() -> dict[str, type[Stage]]:
    """Return the stages of all files.

    Raises:
        TypeError: one leaves unsaid what every operator has to say.
    """
    found: dict[str, type[Stage]] = {}
    for module in _MODULES:
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


def _aten() -> Iterator[tuple[str, Aten]]:
    """Yield every operator of an exported graph that some file reads.

    Raises:
        TypeError: a file reads none, or one that another file reads.
    """
    seen: dict[str, str] = {}
    for module in _MODULES:
        rows: Mapping[str, Aten] = getattr(module, "ATEN", {})
        if not rows or not getattr(module, "SPELLED", ""):
            raise TypeError(f"{module.__name__} lacks ATEN or SPELLED")
        for name, row in rows.items():
            if name in seen:
                raise TypeError(f"{module.__name__} reads {name}, as {seen[name]} does")
            seen[name] = module.__name__
            yield name, row


STAGES: Mapping[str, type[Stage]] = _stages()
"""By class name."""

ATEN: Mapping[str, Aten] = dict(_aten())
"""Operator without overload -> how it is read; in-place forms share the entry."""

SUPPORTED = ", ".join(module.SPELLED for module in _MODULES)
"""What messages list as supported."""

ACTIVATIONS: tuple[str, ...] = tuple(name for kind in STAGES.values() for name in kind.activations)
"""Activation functions there are, as modules of torch.nn."""
