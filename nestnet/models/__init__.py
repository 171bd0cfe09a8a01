"""Models by name: every module of this package with a ``factory`` is one.

A new model is one new file here with ``factory(input_shape, classes) -> nn.Module`` and the
``INPUT_SHAPE`` (h, w, c) and ``CLASSES`` it was designed for. A factory that also takes ``width``
accepts a width multiplier in the name, ``mobilenetv1@0.25``; with ``depth`` also one of the blocks,
``det_csp@0.5x0.67``. The user's own model is ``path/to/file.py:factory``. Files that begin with an
underscore hold what several models share.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from codegen.errors import UserError

DEFAULT = "digits_cnn"
"""The model of the embedded digits."""


def names() -> tuple[str, ...]:
    """Return the names of the shipped models."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name[0] != "_"))


def describe(name: str) -> str:
    """Return the first line of a shipped model's documentation."""
    return (_shipped(name).__doc__ or "").strip().splitlines()[0]


def designed_for(name: str) -> tuple[tuple[int, int, int], int] | None:
    """Return the input shape (h, w, c) and the classes a model was designed for.

    None for the user's own model, of which that is not known.

    Raises:
        UserError: unknown name.
    """
    if ".py" in name:
        return None
    module = _shipped(name.partition("@")[0])
    return module.INPUT_SHAPE, module.CLASSES


def build(name: str, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Return an untrained model.

    Args:
        name: a shipped model (``resnet8``), one with a width multiplier (``mobilenetv1@0.25``)
            or the user's own (``path/to/file.py:factory``).
        input_shape: height, width, channels of the images.
        classes: number of logits.

    Raises:
        UserError: unknown name, missing file or function, a factory that fails or returns something
            else than a module, or a width multiplier that makes no sense.
    """
    if ".py" in name:
        return _own(name, input_shape, classes)
    base, _, width_text = name.partition("@")
    factory: Callable[..., Any] = _shipped(base).factory
    options: dict[str, float] = {}
    if "@" in name:
        width_text, _, depth_text = width_text.partition("x")
        options["width"] = _multiplier(name, width_text, factory, "width")
        if depth_text:
            options["depth"] = _multiplier(name, depth_text, factory, "depth")
    try:
        module = factory(input_shape, classes, **options)
    except ValueError as error:  # what shipped models raise where an input does not suit them
        raise UserError(
            f"model '{name}'",
            "is not made for such an input",
            got="x".join(map(str, input_shape)),
            expected=error,
            action="Choose another size, or another model",
        ) from error
    assert isinstance(module, nn.Module)
    return module


def _shipped(name: str) -> ModuleType:
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        raise UserError(
            "model",
            "unknown model",
            got=f"'{name}'",
            expected=f"one of {', '.join(names())}, or path/to/file.py:factory",
            action=f"Did you mean '{near[0]}'?" if near else "See 'nestnet models'",
        )
    return importlib.import_module(f"{__name__}.{name}")


def _multiplier(name: str, text: str, factory: Callable[..., Any], what: str) -> float:
    """Return the number in ``text``, a multiplier of ``what`` that the factory takes."""
    if what not in inspect.signature(factory).parameters:
        raise UserError(
            f"model '{name}'",
            f"the model has no {what} multiplier",
            got=f"'{'@' if what == 'width' else 'x'}{text}'",
            expected=f"'{name.partition('@' if what == 'width' else 'x')[0]}'",
            action="Leave the multiplier out",
        )
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value <= 4.0:
        raise UserError(
            f"model '{name}'",
            f"bad {what} multiplier",
            got=f"'{text}'",
            expected="a number above 0 and at most 4",
            action="Write for example mobilenetv1@0.25",
        )
    return value


def _own(name: str, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    path_text, _, function = name.rpartition(":")
    path = Path(path_text)
    if not path_text.endswith(".py") or not function:
        raise UserError(
            "model",
            "incomplete name of a model file",
            got=f"'{name}'",
            expected="path/to/file.py:factory",
            action="Append a colon and the name of the function that builds the model",
        )
    if not path.is_file():
        raise UserError(
            "model",
            "model file does not exist",
            got=str(path),
            expected="a Python file",
            action="Check the path",
        )
    spec = importlib.util.spec_from_file_location(f"nestnet_model_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise _failed(str(path), "the model file cannot be imported", error) from error
    factory = getattr(module, function, None)
    if not callable(factory):
        own = [value for value in vars(module).values() if inspect.isfunction(value)]
        found = [value.__name__ for value in own if value.__module__ == module.__name__]
        raise UserError(
            str(path),
            "no such function in the model file",
            got=f"'{function}'",
            expected=", ".join(found) or "a function factory(input_shape, classes)",
            action="Name a function of the file",
        )
    return _call(factory, f"{path}:{function}", input_shape, classes)


def _call(
    factory: Callable[..., Any],
    where: str,
    input_shape: tuple[int, int, int],
    classes: int,
) -> nn.Module:
    try:
        model = factory(input_shape, classes)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise _failed(where, "the factory failed", error) from error
    if not isinstance(model, nn.Module):
        raise UserError(
            where,
            "the factory returned no module",
            got=type(model).__name__,
            expected="torch.nn.Module",
            action="Return the model from the factory",
        )
    return model


def _failed(where: str, what: str, error: BaseException) -> UserError:
    lines = str(error).strip().splitlines()
    return UserError(
        where,
        what,
        got=f"{type(error).__name__}: {lines[0] if lines else 'no message'}",
        expected="factory(input_shape, classes) to return a torch.nn.Module",
        action="Correct the model file",
    )
