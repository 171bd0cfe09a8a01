"""Refuse what a data set's module must not return: found when it is loaded, not in training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.errors import UserError
from nestnet.config import AUGMENTS
from nestnet.datasets._types import Dataset, Images, Split

_RAW = (np.uint8, np.int16, np.float32)
_STEPS = 255
"""Between the least and the largest int8 number: what a channel is made of in the end."""
_AT_ONCE = 1024
"""Windows looked at together, for what does not fit into memory."""
_AUGMENTS = tuple(name for name in AUGMENTS if name != "auto")


def check_module(module: ModuleType) -> None:
    """Refuse a module of this folder that is no data set.

    Raises:
        UserError: it has no docstring, or no function ``load``.
    """
    if not callable(getattr(module, "load", None)):
        raise _broken(module, "no function load", "nothing", "load(data, resize, test_share)")
    if not (module.__doc__ or "").strip():
        raise _broken(
            module, "no docstring", "nothing", "a first line that 'nestnet datasets' prints"
        )


def check_loaded(
    module: ModuleType, dataset: object, resize: Sequence[int] | None, test_share: float
) -> None:
    """Refuse what ``module``'s ``load`` returned if training could not use it or would misread it.

    Args:
        module: the data set's.
        dataset: what its ``load`` returned.
        resize: height and width that were asked for.
        test_share: of test images that was asked for, or 0.

    What targets and names must be, the task says (:meth:`nestnet.tasks.Task.check_data`).

    Raises:
        UserError: names the module's file, and what ``load`` must return.
    """
    if not isinstance(dataset, Dataset):
        raise _broken(
            module, "load returns no data set", type(dataset).__name__, "a nestnet.datasets.Dataset"
        )
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        _check_split(module, name, split)
    if dataset.train.images.dtype != dataset.test.images.dtype:
        types = [split.images.dtype.name for split in (dataset.test, dataset.train)]
        raise _broken(module, "test.images have another type than train.images", *types)
    shapes = [split.images.shape[1:] for split in (dataset.train, dataset.test)]
    if shapes[0] != shapes[1]:
        raise _broken(
            module,
            "test.images have another shape than train.images",
            _by(shapes[1]),
            _by(shapes[0]),
        )
    whole = dataset.cut is None  # else images were resized before they were cut
    if resize is not None and whole and shapes[0][:2] != tuple(resize):
        raise _broken(
            module,
            "load does not resize",
            f"images of {_by(shapes[0][:2])}",
            f"images of {_by(resize)} with --resize {_by(resize)}",
        )
    if dataset.test_share != test_share:
        raise _broken(
            module,
            "load does not say that it drew the share of test images it was asked for",
            f"Dataset.test_share {dataset.test_share}",
            f"{test_share} with --test-share {test_share}, or a refusal of the flag",
        )
    if dataset.default_augment not in _AUGMENTS:
        raise _broken(
            module,
            "default_augment is unknown",
            repr(dataset.default_augment),
            " | ".join(_AUGMENTS),
        )


def check_finite(where: str, numbers: Images) -> None:
    """Refuse ``numbers`` (n, ...) of which one is none.

    Raises:
        UserError: names the first.
    """
    for first in range(0, len(numbers), _AT_ONCE):
        wrong = np.argwhere(~np.isfinite(numbers[first : first + _AT_ONCE]))
        if len(wrong):
            place = (int(wrong[0][0]) + first, *map(int, wrong[0][1:]))
            raise UserError(
                where,
                "not a finite number",
                got=f"{numbers[place]} at {list(place)}",
                expected="finite numbers",
                action="Leave such windows out, or fill the gaps",
            )


def check_precise(where: str, before: NDArray[Any], after: Images) -> None:
    """Refuse channels of ``before`` (n, ..., c) that are rounded to less than 8 bits ``after`` the
    conversion to what networks are fed: numbers too large for how little they differ.

    Raises:
        UserError: names the channel.
    """
    for channel in range(before.shape[-1]):
        numbers = before[..., channel].astype(np.float64)
        lost = np.abs(after[..., channel] - numbers).max()
        apart = numbers.max() - numbers.min()
        if lost * _STEPS > apart > 0:
            raise UserError(
                f"{where}, channel {channel}",
                "numbers too large for how little they differ",
                got=f"{numbers.min():.17g}..{numbers.max():.17g}, rounded by {lost:g}",
                expected="differences that 32-bit floats can hold",
                action="Subtract what they have in common",
            )


def _check_split(module: ModuleType, name: str, split: Split) -> None:
    images, targets = split.images, split.targets
    where = f"{name}.images"
    expected = "uint8, int16 or float32 (n, h, w, c), each at least 1"
    usable = isinstance(images, np.ndarray) and images.dtype in _RAW and images.ndim == 4
    if not usable:
        raise _broken(module, f"{where} cannot be used", told(images), expected)
    if not images.size:
        raise _broken(module, f"{where} holds nothing", told(images), expected)
    where = f"{name}.targets"
    if not isinstance(targets, np.ndarray) or targets.ndim < 1:
        raise _broken(module, f"{where} cannot be used", told(targets), "an array (n, ...)")
    if images.dtype == np.float32:
        check_finite(f"nestnet/datasets/{Path(module.__file__ or '').name}, {where}", images)
    if len(images) != len(targets):
        raise _broken(
            module,
            f"{where} and {name}.images differ in number",
            f"{len(targets)} targets, {len(images)} images",
            "a target for every image",
        )


def broken(
    data: Dataset, what: str, got: str, expected: str, action: str = "Correct the data"
) -> UserError:
    """Return the error for targets or names that are not those of the data set's task: of the
    user's files as a rule, of a module that is being written otherwise."""
    return UserError(
        f"data {data.title!r} as nestnet/datasets/{data.name}.py reads it",
        what,
        got=got,
        expected=expected,
        action=f"{action}; docs/howto/dataset.md says what each task takes",
    )


def told(array: object) -> str:
    """Return type and shape of what stands in an array's place: "float32 (5, 8, 8)"."""
    if not isinstance(array, np.ndarray):
        return type(array).__name__
    return f"{array.dtype} {array.shape}"


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _broken(module: ModuleType, what: str, got: str, expected: str) -> UserError:
    return UserError(
        f"nestnet/datasets/{Path(module.__file__ or module.__name__).name}",
        what,
        got=got,
        expected=expected,
        action="Correct the file; docs/howto/dataset.md says what load returns",
    )
