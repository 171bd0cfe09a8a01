"""The operators, one file each: what is in this folder is an operator, and nothing lists it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from codegen.graph.ir import Op


def _operators() -> dict[str, type[Op]]:
    found: dict[str, type[Op]] = {}
    for entry in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{entry.name}")
        found |= {
            name: value
            for name, value in vars(module).items()
            if isinstance(value, type)
            and issubclass(value, Op)
            and value.__module__ == module.__name__
        }
    return found


OPERATORS: Mapping[str, type[Op]] = _operators()
"""By class name, as ``.nestnet`` files call them."""
