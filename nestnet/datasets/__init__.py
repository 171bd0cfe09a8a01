"""Data sets by name. Each public module of this package, or of a package in it, is one data set.

A module called ``<name>.py`` adds the data set ``<name>``: its docstring's first line is what
``nestnet datasets`` prints, and its function ``load(data, resize, test_share)`` returns a
:class:`Dataset`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Any

from codegen.errors import UserError
from nestnet.config import TrainConfig, unknown_name
from nestnet.datasets._checks import oddities
from nestnet.datasets._contract import broken, check_loaded, check_module, told
from nestnet.datasets._types import Dataset, Split

__all__ = [
    "Dataset", "Split", "broken", "describe", "load", "names", "oddities", "of", "task_of", "told",
]  # fmt: skip

MAX_SIDE = 4096
"""Largest height or width, in pixels, that ``resize`` accepts."""


def names() -> tuple[str, ...]:
    """Return the names of all data sets, sorted."""
    return tuple(sorted(_modules()))


def _modules() -> dict[str, str]:
    """Return data set -> its module: in this package, or in one of those below it."""
    found: dict[str, str] = {}
    for module in pkgutil.iter_modules(__path__):
        name = f"{__name__}.{module.name}"
        if module.ispkg and module.name[0] != "_":
            below = pkgutil.iter_modules(importlib.import_module(name).__path__)
            found |= {inner.name: f"{name}.{inner.name}" for inner in below}
        else:
            found[module.name] = name
    return {name: module for name, module in found.items() if name[0] != "_"}


def describe(name: str) -> str:
    """Return the one-line description of the data set called ``name``.

    Raises:
        UserError: there is no such data set.
    """
    return (_module(name).__doc__ or "").strip().splitlines()[0]


def task_of(name: str) -> str:
    """Return the task that the data set called ``name`` says it is for, before it is loaded: its
    module's TASK, by default "classification".

    Raises:
        UserError: there is no such data set.
    """
    return str(getattr(_module(name), "TASK", "classification"))


def load(
    name: str,
    data: Path | None = None,
    resize: tuple[int, int] | None = None,
    test_share: float = 0.0,
    tile: tuple[int, ...] = (),
    margin: int = -1,
) -> Dataset:
    """Load the data set called ``name``.

    Args:
        name: one of :func:`names`.
        data: directory or archive, for the data sets that are not part of a dependency.
        resize: height and width in pixels that every image is scaled to.
        test_share: of test images, for data that comes without; 0 is a default.
        tile: height and width of what images are cut into; empty: the data say.
        margin: of tiles; -1: the data say.

    Raises:
        UserError: unknown name, bad ``resize``, tiles of data that have none, data that cannot be
            used (see the module), or a module that returns what it must not.
    """
    module = _module(name)
    if resize is not None and not all(1 <= side <= MAX_SIDE for side in resize):
        raise UserError(
            "resize",
            "height or width out of range",
            got=f"{resize[0]}x{resize[1]}",
            expected=f"two sizes of 1..{MAX_SIDE} pixels, as in 32x32",
            action="Give --resize HEIGHTxWIDTH",
        )
    if data is not None:
        data = data.expanduser()
        if not data.exists():
            raise UserError(
                str(data),
                "no such file or directory",
                got="nothing",
                expected=f"the data of '{name}' as a directory or an archive",
                action="Check the path after --data",
            )
    dataset: Dataset = module.load(data, resize, test_share, **_tiling(module, tile, margin))
    check_loaded(module, dataset, resize, test_share)
    return dataset


def _tiling(module: ModuleType, tile: tuple[int, ...], margin: int) -> dict[str, Any]:
    """Return what ``load`` of a module is told of tiles; nothing where nothing is asked for.

    Raises:
        UserError: tiles of data that are not cut into any, or sides out of range.
    """
    if not tile and margin < 0:
        return {}
    flag, got = ("--tile", "x".join(map(str, tile))) if tile else ("--margin", str(margin))
    if "tile" not in inspect.signature(module.load).parameters:
        raise UserError(
            flag,
            f"the data set '{module.__name__.rpartition('.')[2]}' is not cut into tiles",
            got=got,
            expected="--dataset masks",
            action="Leave it out, or scale images with --resize",
        )
    if tile and not all(1 <= side <= MAX_SIDE for side in tile):
        raise UserError(
            flag,
            "height or width out of range",
            got=got,
            expected=f"two sizes of 1..{MAX_SIDE} pixels, as in 128x128",
            action="Give both; `nestnet train` chooses what auto stands for",
        )
    return {"tile": tile, "margin": margin}


def of(config: TrainConfig, data: str = "") -> Dataset:
    """Load the data set that ``config`` names; from ``data`` where it lies elsewhere by now.

    Raises:
        UserError: as :func:`load`.
    """
    size = (config.resize[0], config.resize[1]) if config.resize else None
    place = data or config.data
    where = Path(place) if place else None
    return load(config.dataset, where, size, config.test_share, config.tile, config.margin)


def _module(name: str) -> ModuleType:
    if name not in names():
        raise unknown_name("--dataset", "no such data set", name, names())
    module = importlib.import_module(_modules().get(name, f"{__name__}.{name}"))
    check_module(module)
    return module
