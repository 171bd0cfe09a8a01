"""Check what is given to the public functions before anything is done with it.

Settings that a training has too are checked by :class:`nestnet.config.TrainConfig`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from codegen.errors import UserError
from nestnet.net.network import NestedNet
from nestnet.net.tensors import Given


def checked_module(where: str, module: object) -> nn.Module:
    """Return ``module`` if it is a PyTorch module that is not nested yet.

    Raises:
        UserError: a factory, a nested network or anything else.
    """
    if isinstance(module, NestedNet):
        raise _bad(where, module, "the module it was nested from", "Nest the module itself, once")
    if isinstance(module, nn.Module):
        return module
    if inspect.isclass(module) or inspect.isroutine(module):
        action = f"Call it: {getattr(module, '__name__', 'factory')}()"
    else:
        action = "Give the model as PyTorch runs it; from the command line: FILE.py:FACTORY"
    raise _bad(where, module, "a torch.nn.Module", action)


def checked_network(where: str, network: object) -> NestedNet:
    """Return ``network`` if it is a nested one.

    Raises:
        UserError: it is not.
    """
    if isinstance(network, NestedNet):
        return network
    raise _bad(where, network, "what nestnet.nest returns", "Nest the module first: nestnet.nest")


def checked_shape(where: str, shape: Any) -> Given:
    """Return height, width and channels as three whole numbers, or samples and channels as two.

    Raises:
        UserError: they are not.
    """
    extents = _listed(shape)
    if len(extents) in (2, 3) and all(_is_whole(extent) and extent > 0 for extent in extents):
        return tuple(int(extent) for extent in extents)
    action = "Leave the batch out" if len(extents) == 4 else "Name all of them"
    expected = "height, width, channels, or samples, channels: whole numbers above 0"
    raise _bad(where, shape, expected, action)


def checked_shapes(where: str, shape: Any) -> tuple[Given, ...]:
    """Return height, width and channels of each input, given those or that of the only one.

    Raises:
        UserError: they are not three whole numbers each.
    """
    listed = _listed(shape)
    if listed and all(isinstance(one, list | tuple) for one in listed):
        return tuple(checked_shape(f"{where}[{i}]", one) for i, one in enumerate(listed))
    return (checked_shape(where, shape),)


def checked_samples(where: str, samples: Any, shapes: Sequence[Given]) -> NDArray[Any]:
    """Return windows of samples for the only input, of one of ``shapes``.

    Raises:
        UserError: several inputs, or something else than int16 or float32 windows of its shape.
    """
    shape = shapes[0] if len(shapes[0]) == 3 else (1, *shapes[0])
    raw = isinstance(samples, np.ndarray) and samples.dtype in (np.int16, np.float32)
    fits = len(shapes) == 1 and raw and samples.shape[1:] == shape and len(samples)
    if fits and np.isfinite(samples).all():
        found: NDArray[Any] = samples
        return found
    is_array = isinstance(samples, np.ndarray)
    raise _bad(
        where,
        f"{samples.dtype} {samples.shape}" if is_array else type(samples).__name__,
        f"finite int16 or float32 numbers (n, {', '.join(map(str, shape))}), of one input",
        "Give windows of the training set as a NumPy array",
    )


def swapped_shape(module: nn.Module, shape: Given) -> UserError | None:
    """Return the error for a ``shape`` in PyTorch's order, channels first, or without channels,
    that ``module`` cannot take; None where its first convolution says nothing of that kind."""
    convs = (part for part in module.modules() if isinstance(part, nn.Conv1d | nn.Conv2d))
    first = next(convs, None)
    if first is None:
        return None
    channels = first.in_channels
    names = "samples, channels" if isinstance(first, nn.Conv1d) else "height, width, channels"
    given = (*shape[1:], shape[0])
    if isinstance(first, nn.Conv2d) and len(shape) == 2:
        given = (*shape, channels)
    elif channels == shape[-1] or channels != shape[0]:
        return None
    expected = f"{names}; the first convolution takes {channels} channels"
    return _bad("input_shape", shape, expected, f"Give {given}")


def checked_names(where: str, values: Any) -> tuple[str, ...]:
    """Return a list of texts.

    Raises:
        UserError: a single text, or entries that are no texts.
    """
    expected = "a list of texts"
    if isinstance(values, str):
        raise _bad(where, repr(values), expected, f"Write ({values!r},)")
    names = _listed(values)
    if not isinstance(values, Iterable) or not all(isinstance(name, str) for name in names):
        written = ", ".join(repr(str(name)) for name in names)
        raise _bad(where, values, expected, f"Write them as texts: [{written}]")
    return tuple(str(name) for name in names)


def checked_accuracies(where: str, values: Any, levels: int) -> tuple[float | None, ...]:
    """Return one accuracy, 0..1 or None, for each level; None for all where there are none.

    Raises:
        UserError: another number of them, per cents, or entries that are no numbers.
    """
    if _is_number(values):
        raise _bad(where, values, f"a list, one for each of {levels} levels", f"Write ({values},)")
    found = _listed(values)
    if not found:
        return (None,) * levels
    if len(found) != levels:
        expected = f"{levels}, one for each level, the sparsest first"
        raise _bad(where, f"{len(found)} numbers", expected, "Use None for a level not measured")
    for value in found:
        if value is None:
            continue
        if not _is_number(value):
            raise _bad(where, repr(value), "a number 0..1 or None", "Give the share of hits")
        if not 0 <= value <= 1:
            action = "Divide by 100" if 1 < value <= 100 else "Give the share of hits"
            raise _bad(where, value, "0..1, not per cent", action)
    return tuple(None if value is None else float(value) for value in found)


def checked_path(where: str, path: Any) -> Path:
    """Return a path.

    Raises:
        UserError: neither a text nor a path.
    """
    if isinstance(path, str | Path):
        return Path(path)
    raise _bad(where, path, "a text or a pathlib.Path", "Give the network first, then the path")


def checked_run(where: str, run: Any) -> str:
    """Return a run's folder or name.

    Raises:
        UserError: neither a text nor a path.
    """
    if isinstance(run, str | Path):
        return str(run)
    action = "Give what nestnet.train returned, or a name below runs/"
    raise _bad(where, run, "a run's folder or name", action)


def _listed(values: Any) -> Sequence[Any]:
    """Return the entries of a list, an array or a tensor as they are; of anything else itself."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if isinstance(values, Iterable) and not isinstance(values, str | bytes):
        return list(values)
    return [values]


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _bad(where: str, got: object, expected: str, action: str) -> UserError:
    """Return the error; a module is shown by its class."""
    if inspect.isclass(got) or inspect.isroutine(got):
        got = f"{getattr(got, '__name__', got)}, not called"
    elif isinstance(got, nn.Module):
        got = f"a {type(got).__name__}"
    return UserError(where, "not what is needed", got=got, expected=expected, action=action)
