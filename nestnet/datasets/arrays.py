"""NumPy arrays of images, samples or features: x and y, or x_train, y_train, x_test, y_test."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.errors import UserError
from nestnet.datasets._contract import check_finite, check_precise
from nestnet.datasets._reading.description import needed
from nestnet.datasets._split import refuse_share, test_mask
from nestnet.datasets._types import Dataset, Split

_EXPECTED = "x_train, y_train, x_test and y_test, or x and y"
_KNOWN = ("x_train", "y_train", "x_test", "y_test", "x", "y", "groups", "class_names")
_CHANNELS = 4
"""Most channels of what is taken for images with their channels first."""
_FEW_NUMBERS = 10
"""Most different whole numbers that are spoken of as possible classes."""
Arrays = Mapping[str, NDArray[Any]]


def load(data: Path | None, resize: tuple[int, int] | None, test_share: float) -> Dataset:
    """Load arrays of a .npz file, or of a folder of .npy files, which stay on disk (mapped).

    x is uint8 (images), int16 or float32 (samples): (n, h, w, c); uint8 (n, h, w) is grey; other
    (n, samples, channels) or (n, samples) are samples in a row. Other numbers become float32, whole
    ones that fit int16. y (n,) of whole numbers or texts are classes, 0 and 1 (n, k) several
    labels, (n, h, w) masks of classes, floats (n,) or (n, k) numbers to learn. ``groups`` (n,)
    beside x and y keeps what belongs together (a user, a machine) in one split; ``class_names``
    names classes 0, 1, 2.

    Raises:
        UserError: no ``data``, arrays that are missing, cannot be read or do not fit each other,
            numbers that are not finite, ``resize``, or ``test_share`` beside test arrays.
    """
    path = needed(data, "arrays", f"a .npz file, or a folder of .npy files: {_EXPECTED}")
    if resize is not None:
        raise UserError(
            "--resize",
            "arrays are taken as they are",
            got=f"{resize[0]}x{resize[1]}",
            expected="nothing",
            action="Leave --resize out",
        )
    arrays = _read(path)
    notes: tuple[str, ...] = ()
    if "x_train" in arrays:
        refuse_share(test_share, "the data has test arrays of its own")
        _need(path, arrays, "x_train", "y_train", "x_test", "y_test")
        parts = {name: (arrays[f"x_{name}"], arrays[f"y_{name}"]) for name in ("train", "test")}
    else:
        _need(path, arrays, "x", "y")
        x, y = arrays["x"], arrays["y"]
        _check_lengths(f"{path}, x and y", x, y)
        groups = arrays.get("groups", np.arange(len(x)))
        _check_lengths(f"{path}, x and groups", x, groups)
        mask, told = test_mask(groups.astype(np.str_), (), test_share, str(path))
        notes = (told if "groups" in arrays else f"{mask.sum()} of {len(x)} drawn as test data",)
        parts = {"train": (x[~mask], y[~mask]), "test": (x[mask], y[mask])}
    for name, (x, y) in parts.items():
        _check_lengths(f"{path}, {name}", x, y)
    images = {name: _images(f"{path}, x of {name}", x) for name, (x, _) in parts.items()}
    _check_alike(path, images)
    names, task, targets = _targets(path, arrays, {name: y for name, (_, y) in parts.items()})
    return Dataset(
        name="arrays",
        title=path.resolve().name.split(".")[0],
        train=Split(images["train"], targets["train"]),
        test=Split(images["test"], targets["test"]),
        class_names=names,
        default_augment="none",
        notes=(*notes, *_doubts(*parts["train"])),
        test_share=test_share,
        task=task,
    )


def _read(path: Path) -> Arrays:
    """Return the arrays in ``path`` by their names in lower case."""
    try:
        if path.is_file():
            with path.open("rb") as file:
                stored = np.load(file, allow_pickle=False)
                if isinstance(stored, np.ndarray):
                    raise ValueError("a single array")
                found = {name.lower(): stored[name] for name in stored.files}
        else:
            files = {file.stem.lower(): file for file in sorted(path.glob("*.npy"))}
            # "c": pages may be changed in memory, which PyTorch asks for, but never are
            found = {
                name: np.load(file, mmap_mode="c", allow_pickle=False)
                for name, file in files.items()
                if name in _KNOWN
            }
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise UserError(
            str(path),
            "cannot be read as arrays",
            got=str(error).strip().splitlines()[0] if str(error) else type(error).__name__,
            expected="a .npz file, or .npy files, without pickled objects",
            action="Write it again with np.savez or np.save",
        ) from error
    return found


def _need(path: Path, arrays: Arrays, *names: str) -> None:
    missing = [name for name in names if name not in arrays]
    if missing:
        raise UserError(
            str(path),
            f"no {' and no '.join(missing)}",
            got=", ".join(sorted(arrays)) or "no array",
            expected=_EXPECTED,
            action="Add what is missing",
        )


def _check_lengths(where: str, x: NDArray[Any], y: NDArray[Any]) -> None:
    if x.ndim < 2 or y.ndim < 1 or len(x) != len(y) or not len(x):
        raise UserError(
            where,
            "do not fit each other",
            got=f"{x.shape} and {y.shape}",
            expected="arrays (n, ...) and (n, ...), n at least 1",
            action="Give a target for every window",
        )


def _check_alike(path: Path, images: Arrays) -> None:
    """Refuse test data of another form than the training data."""
    forms = {name: f"{x.dtype} (n, {str(x.shape[1:])[1:]}" for name, x in images.items()}
    if forms["train"] != forms["test"]:
        raise UserError(
            f"{path}, x_test",
            "is not like x_train",
            got=forms["test"],
            expected=forms["train"],
            action="Store both in one type and shape",
        )


def _doubts(x: NDArray[Any], y: NDArray[Any]) -> tuple[str, ...]:
    """Return what in the training data may have been meant otherwise than it is taken."""
    found = []
    in_a_row = x.dtype != np.uint8 and x.shape[1] == 1
    if x.ndim == 4 and x.shape[1] <= _CHANNELS < min(x.shape[2:]) and not in_a_row:
        found.append(
            f"x is taken as (n, h, w, c): {x.shape[1]} high, {x.shape[2]} wide, {x.shape[3]} "
            "channels; images as PyTorch has them, (n, c, h, w), want x.transpose(0, 2, 3, 1)"
        )
    if x.ndim == 3 and x.dtype != np.uint8 and 4 * x.shape[1] <= x.shape[2]:
        found.append(
            f"x is taken as (n, samples, channels): {x.shape[1]} samples of {x.shape[2]} channels; "
            "windows as PyTorch has them, (n, channels, samples), want x.transpose(0, 2, 1)"
        )
    if y.ndim > 2 or y.dtype.kind not in "iubf" or not (y == np.rint(y)).all():
        return tuple(found)
    if y.ndim == 2 and y.shape[1] > 1 and (y >= 0).all() and (y.sum(axis=1) == 1).all():
        kind = "numbers" if y.dtype.kind == "f" else "labels of which there may be several"
        found.append(
            f"exactly one of {y.shape[1]} is 1 in every row of y, and they are learned as {kind}; "
            "classes that exclude each other want y.argmax(1)"
        )
    if y.dtype.kind == "f" and y.size == len(y) and len(np.unique(y)) <= _FEW_NUMBERS:
        found.append(
            f"y is whole numbers, {len(np.unique(y))} different ones, stored as {y.dtype} and "
            "learned as numbers; classes want y.astype(int)"
        )
    return tuple(found)


def _images(where: str, x: NDArray[Any]) -> NDArray[Any]:
    """Return ``x`` as (n, h, w, c) of a type that networks are fed."""
    if x.dtype not in (np.uint8, np.int16, np.float32):
        if not np.issubdtype(x.dtype, np.number) or np.issubdtype(x.dtype, np.complexfloating):
            raise UserError(
                where,
                "no numbers",
                got=x.dtype,
                expected="uint8, int16 or float32",
                action="Convert them",
            )
        whole = np.issubdtype(x.dtype, np.integer)
        fits = whole and x.min() >= -(2**15) and x.max() < 2**15
        raw, x = x, x.astype(np.int16 if fits else np.float32)
        check_finite(where, x)
        of_channels = (each if x.ndim > 2 else each[..., None] for each in (raw, x))
        check_precise(where, *of_channels)
    elif x.dtype == np.float32:
        check_finite(where, x)
    if x.ndim == 2:
        return x[:, None, :, None]
    if x.ndim == 3:
        return x[..., None] if x.dtype == np.uint8 else x[:, None]
    if x.ndim == 4:
        return x
    raise UserError(
        where,
        "too many axes",
        got=x.shape,
        expected="(n, h, w, c), (n, samples, channels) or (n, samples)",
        action="Reshape it",
    )


def _targets(
    path: Path, arrays: Arrays, given: Mapping[str, NDArray[Any]]
) -> tuple[tuple[str, ...], str, dict[str, NDArray[Any]]]:
    """Return the class names, the task, and the targets of both splits."""
    train = given["train"]
    if np.issubdtype(train.dtype, np.floating):
        flat = {name: y.reshape(len(y), -1).astype(np.float32) for name, y in given.items()}
        for name, y in flat.items():
            check_finite(f"{path}, y of {name}", y)
        named = arrays.get("class_names")
        return () if named is None else tuple(map(str, named.tolist())), "regression", flat
    if train.ndim > 1 and train[0].size > 1 and train.dtype.kind in "iub":
        return _of_many(path, arrays, given)
    column = train.ndim == 2 and train.shape[1] == 1
    labels = {name: y.reshape(-1) if column else y for name, y in given.items()}
    known = np.issubdtype(train.dtype, np.integer) or train.dtype.kind in "Ub"
    if not known or any(y.ndim != 1 or y.dtype.kind != train.dtype.kind for y in labels.values()):
        raise UserError(
            f"{path}, y",
            "no targets that are known",
            got=f"{train.dtype} {train.shape}",
            expected="classes (n,): whole numbers or texts; or floats (n, k)",
            action="Convert them",
        )
    if np.issubdtype(train.dtype, np.str_):
        names = tuple(sorted(set(train.tolist())))
        strange = sorted(set(labels["test"].tolist()) - set(names))
        if strange:
            raise _strange(path, strange, names)
        number = {name: index for index, name in enumerate(names)}
        found = {
            key: np.array([number[label] for label in y.tolist()], np.int64)
            for key, y in labels.items()
        }
        return names, "classification", found
    found = {key: y.astype(np.int64) for key, y in labels.items()}
    counts = np.bincount(found["train"]) if found["train"].min() >= 0 else np.zeros(1, int)
    strange = sorted({str(v) for v in found["test"].tolist() if not 0 <= v < len(counts)})
    if not counts.all() or strange:
        raise _strange(path, strange, tuple(map(str, sorted(set(found["train"].tolist())))))
    named = arrays.get("class_names")
    names = tuple(map(str, range(len(counts)) if named is None else named.tolist()))
    if len(names) != len(counts):
        raise UserError(
            f"{path}, class_names",
            "not one name for each class",
            got=len(names),
            expected=len(counts),
            action="Name the classes 0, 1, 2 and so on",
        )
    return names, "classification", found


def _of_many(
    path: Path, arrays: Arrays, given: Mapping[str, NDArray[Any]]
) -> tuple[tuple[str, ...], str, dict[str, NDArray[Any]]]:
    """Return labels of which a window may have several, (n, k), or masks of classes, (n, h, w)."""
    if all(y.ndim == 4 and y.shape[3] == 1 for y in given.values()):
        given = {name: y[..., 0] for name, y in given.items()}
    train = given["train"]
    task, most = ("multi_label", 1) if train.ndim == 2 else ("segmentation", 255)
    whole = {name: y.astype(np.int64) for name, y in given.items()}
    if train.ndim > 3 or any(y.ndim != train.ndim for y in given.values()) or any(
        y.min() < 0 or y.max() > most for y in whole.values()
    ):  # fmt: skip
        raise UserError(
            f"{path}, y",
            "no targets that are known",
            got=f"{train.dtype} {train.shape}, {whole['train'].min()}..{whole['train'].max()}",
            expected="0 and 1 for each label (n, k), or masks of classes 0..255 (n, h, w)",
            action="Convert them",
        )
    inside = whole["train"][whole["train"] < 255]
    if task == "segmentation" and not inside.any():
        raise UserError(
            f"{path}, y",
            "masks of one class",
            got=f"no number but {', '.join(map(str, np.unique(whole['train'])))}",
            expected="0, 1 and so on, and 255 where a position does not count",
            action="Write 1 where 255 is the foreground: y // 255",
        )
    count = train.shape[1] if train.ndim == 2 else int(inside.max(initial=0)) + 1
    named = arrays.get("class_names")
    names = tuple(map(str, range(count) if named is None else named.tolist()))
    return names, task, {name: y.astype(np.uint8) for name, y in whole.items()}


def _strange(path: Path, strange: list[str], names: tuple[str, ...]) -> UserError:
    return UserError(
        f"{path}, y",
        "classes of the test data without training data" if strange else "classes without windows",
        got=", ".join(strange or names),
        expected=f"some of {', '.join(names)}" if strange else "0, 1, 2 and so on, each of them",
        action="Renumber the classes, or leave such windows out",
    )
