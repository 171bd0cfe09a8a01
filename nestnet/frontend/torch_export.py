"""Capture a module as a torch.export graph."""

from __future__ import annotations

import copy
import io
import logging
import re
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import torch
from torch import fx, nn
from torch.utils._pytree import tree_leaves

from codegen.errors import UserError
from nestnet.frontend.problems import place, user_line
from nestnet.frontend.reader import read
from nestnet.net.tensors import Given
from nestnet.net.walk import CONSTANTS

EXAMPLE_BATCH = 5
_ODD_BATCH = 211
"""A batch size that is no other size of a network; finds where it is written as a constant."""
_TRIED_BATCH = 17
"""Small, and unlikely to be the channels of a convolution that would take the batch for them."""
_CUMULATIVE_MOMENTUM = 0.1
"""Stands in for momentum=None, which cannot be captured; training ends with statistics measured as
plain means anyway."""


def float_clone(module: nn.Module) -> nn.Module:
    """Return a copy of ``module`` in float32 on the CPU; the module itself is not touched."""
    return copied(module).cpu().float()


def copied(module: nn.Module) -> nn.Module:
    """Return a deep copy of ``module``, also where it holds results of a computation, which PyTorch
    refuses to copy: weights made by a hook, activations kept for later."""
    held = [value for part in module.modules() for value in vars(part).values()]
    results = [value for value in held if isinstance(value, torch.Tensor) and not value.is_leaf]
    return copy.deepcopy(module, {id(value): value.detach().clone() for value in results})


def fed_shape(module: nn.Module, input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return what ``module`` is fed, without the batch, in PyTorch's order: (c, h, w) or (c, n).

    Args:
        module: is not changed.
        input_shape: (h, w, c), or (samples, channels). Of height 1, a module that takes no
            (c, 1, w) but (c, w) is fed that: samples in a row.
    """
    *extents, channels = input_shape
    if len(extents) == 2 and extents[0] == 1:
        row = (channels, extents[1])
        if not _runs(module, (channels, *extents)) and _runs(module, row):
            return row
    return (channels, *extents)


def fed_shapes(module: nn.Module, input_shapes: tuple[Given, ...]) -> tuple[tuple[int, ...], ...]:
    """Return :func:`fed_shape` of the only input; of several, each as its shape is written:
    (samples, channels) is a row, (1, samples, channels) a map."""
    if len(input_shapes) == 1:
        return (fed_shape(module, input_shapes[0]),)
    return tuple((channels, *extents) for *extents, channels in input_shapes)


def _runs(module: nn.Module, shape: tuple[int, ...]) -> bool:
    """Return whether ``module`` makes something for each sample of a batch of ``shape``."""
    try:
        with quiet(), torch.no_grad():
            outputs = tree_leaves(float_clone(module).eval()(torch.zeros(_TRIED_BATCH, *shape)))
    except (Exception, SystemExit):  # the user's code may raise anything; capturing says what
        return False
    return all(getattr(y, "shape", ())[:1] == (_TRIED_BATCH,) for y in outputs)


def export(
    module: nn.Module,
    fed: Sequence[tuple[int, ...]],
    *,
    training: bool,
    batch: int | None = None,
) -> torch.export.ExportedProgram:
    """Return the graph of ``module`` in training or evaluation mode, with a free batch size.

    Args:
        module: is not changed.
        fed: what it is fed, of :func:`fed_shapes`.
        training: which of the module's modes.
        batch: instead of a free batch size this one.

    Raises:
        UserError: torch.export cannot capture the module, or its own code fails.
    """
    examples = tuple(torch.zeros(batch or EXAMPLE_BATCH, *shape) for shape in fed)
    free = {0: torch.export.Dim("batch", min=2)}
    dynamic = None if batch else (free,) * len(examples)
    try:
        clone = float_clone(module).train(training)
        for part in clone.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.momentum is None:
                part.momentum = _CUMULATIVE_MOMENTUM
        with quiet():
            return torch.export.export(clone, examples, dynamic_shapes=dynamic, strict=False)
    except (Exception, SystemExit) as error:  # torch.export raises many types for a user's mistake
        own = _own_error(module, examples, training=training)
        if own is not None:
            raise own from error
        action = (
            "Remove data-dependent control flow and constants equal to the batch size, "
            "and check the input shape"
        )
        if "DataDependent" in type(error).__name__:
            action = f"{CONSTANTS}; remove control flow that depends on the images"
        raise UserError(
            f"model {type(module).__name__}",
            "torch.export cannot capture the model",
            got=f"{type(error).__name__}: {one_line(error)}",
            expected=f"a module whose forward takes {_listed(examples)} and works for any batch "
            "size",
            action=action,
        ) from error


def _listed(examples: Sequence[torch.Tensor]) -> str:
    """Return what a module is called with: "one batch x 3 x 32 x 32 float tensor"."""
    shapes = ["batch x " + " x ".join(map(str, example.shape[1:])) for example in examples]
    alone = len(shapes) == 1
    return f"one {shapes[0]} float tensor" if alone else f"float tensors {', '.join(shapes)}"


def _own_error(
    module: nn.Module, examples: Sequence[torch.Tensor], *, training: bool
) -> UserError | None:
    """Return the error that names the user's line where ``module`` itself fails for ``examples``.

    None if it runs, or where no line is the user's: then PyTorch's own layers do not fit.
    """
    try:
        with quiet(), torch.no_grad():
            float_clone(module).train(training)(*examples)
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        line = user_line((frame.filename, frame.lineno or 0) for frame in frames)
        if line:
            return UserError(
                line,
                f"the forward of {type(module).__name__} fails by itself, outside nestnet too",
                got=f"{type(error).__name__}: {one_line(error)}",
                expected=f"a module that runs for {_listed(examples)}",
                action="Correct that line, or the input shape",
            )
    return None


def fixed_batch(module: nn.Module, fed: Sequence[tuple[int, ...]]) -> UserError | None:
    """Return the error that names the lines where ``module`` takes the batch size as a constant.

    None if it does not, or cannot be captured for one batch size either.
    """
    try:
        exported = export(module, fed, training=False, batch=_ODD_BATCH)
    except UserError:
        return None
    places = [found for node in exported.graph.nodes for found in _constant_batches(node)]
    if places:
        return UserError(
            "; ".join(dict.fromkeys(places)),
            "the batch size is taken as a constant",
            got="len(x) or int(...) of a tensor's first dimension",
            expected="a size that follows the batch",
            action="Write x.size(0), x.shape[0] or flatten(1)",
        )
    try:
        read(exported, module, evaluation=True)
    except UserError as problem:  # a reshape to a batch of its own
        return problem
    return None


def _constant_batches(node: fx.Node) -> list[str]:
    """Return the place of ``node`` if its arguments hold the batch size, else nothing."""
    sizes = [item for a in node.args for item in (a if isinstance(a, list | tuple) else (a,))]
    if node.op != "call_function" or _ODD_BATCH not in [s for s in sizes if type(s) is int]:
        return []
    return [place(node)]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep PyTorch from logging and printing about errors that are reported in one line.

    The random numbers that are drawn meanwhile are given back to PyTorch's generator.
    """
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        sink = io.StringIO()
        with warnings.catch_warnings(), redirect_stdout(sink), redirect_stderr(sink):
            warnings.simplefilter("ignore")
            with torch.random.fork_rng(devices=[]):
                yield
    finally:
        logging.disable(disabled)


def one_line(error: BaseException) -> str:
    """Return the first line of an error's message, without colours."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else "no message"
    return re.sub(r"\x1b\[[0-9;]*m", "", text)[:240]
