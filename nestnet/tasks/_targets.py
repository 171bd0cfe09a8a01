"""Refuse targets that are not what a task says, naming the data set's file, and networks whose
outputs do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from codegen.errors import UserError
from nestnet.datasets import Dataset, Split, broken, told
from nestnet.datasets._types import Targets
from nestnet.net.stages import Bound
from nestnet.net.tensors import Shapes


def splits(data: Dataset) -> Iterator[tuple[str, Split]]:
    """Yield both splits with what messages call their targets."""
    yield "train.targets", data.train
    yield "test.targets", data.test


def check_form(
    data: Dataset, dtype: type[np.generic], shape: str, fits: Callable[[Targets], bool]
) -> None:
    """Refuse targets of another type, or of a shape that does not fit.

    Args:
        data: the data set.
        dtype: of the targets.
        shape: what is expected, for messages: "(n,)".
        fits: whether an array of targets has it.

    Raises:
        UserError: they are something else.
    """
    for where, split in splits(data):
        targets = split.targets
        if targets.dtype != dtype or not fits(targets):
            expected = f"{np.dtype(dtype).name} {shape}"
            raise broken(data, f"{where} cannot be used", told(targets), expected)


def check_named(data: Dataset) -> int:
    """Return the number of class names.

    Raises:
        UserError: there is none.
    """
    if not data.class_names:
        raise broken(data, "class_names is empty", "()", "the names of the classes")
    return len(data.class_names)


def check_labels(data: Dataset) -> None:
    """Refuse targets that are not one index into the class names per image.

    Raises:
        UserError: they are something else.
    """
    classes = check_named(data)
    check_form(data, np.int64, "(n,)", lambda targets: targets.ndim == 1)
    for where, split in splits(data):
        targets = split.targets
        if targets.min() < 0 or targets.max() >= classes:
            raise broken(
                data,
                f"{where} lie outside class_names",
                f"{targets.min()}..{targets.max()}",
                f"0..{classes - 1} for {classes} class name{'s' * (classes > 1)}",
            )


def reached(model: str, bounds: Sequence[Sequence[Bound | None]]) -> Bound | None:
    """Return the bounds of all outputs of a network called ``model``; None where there are none.

    Raises:
        UserError: they differ.
    """
    found = {(part.low, part.high) if part else None: part for parts in bounds for part in parts}
    if len(found) == 1:
        return next(iter(found.values()))
    raise UserError(
        model,
        "the model's outputs end in different functions",
        got=" and ".join(f"a {part.function}" if part else "none" for part in found.values()),
        expected="the same for all",
        action="Leave them out of the model",
    )


def check_reach(model: str, bound: Bound, what: str, span: tuple[float, float], else_: str) -> None:
    """Refuse a network whose outputs cannot become all that they are compared with.

    Args:
        model: the network.
        bound: what it ends in.
        what: what they are compared with.
        span: its least and largest number.
        else_: what helps other than leaving the function out.

    Raises:
        UserError: ``span`` reaches beyond ``bound``.
    """
    if bound.low <= span[0] and span[1] <= bound.high:
        return
    raise UserError(
        model,
        f"the model ends in a {bound.function}, which never gets as far as the {what}",
        got=f"{what} in {span[0]:g}..{span[1]:g}",
        expected=f"{bound.low:g}..{bound.high:g}",
        action=f"Leave the {bound.function} out of the model, or {else_}",
    )


def check_vector(
    model: str, shapes: Shapes, names: Sequence[str], action: str = "Change the model's last layer"
) -> None:
    """Refuse a network that has not one output of one position, a number for each of ``names``.

    Raises:
        UserError: it has several outputs, a map, or another count of numbers.
    """
    if len(shapes) != 1 or shapes[0][:2] != (1, 1):
        raise UserError(
            model,
            "the model's output is no vector",
            got=", ".join("x".join(map(str, shape)) for shape in shapes) + " in h, w, c",
            expected="one output of one position",
            action="Pool to 1x1, or end with a linear layer",
        )
    if shapes[0][2] != len(names):
        raise UserError(
            model,
            "the model's outputs are not what the data asks for",
            got=f"{shapes[0][2]} outputs",
            expected=f"{len(names)}: {', '.join(names)}",
            action=action,
        )
