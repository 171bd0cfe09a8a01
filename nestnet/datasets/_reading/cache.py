"""Keep decoded images between runs, so that a data set is decoded once."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from nestnet.datasets._types import Int64Array, Split, Uint8Array

FORMAT_VERSION = 6
"""Part of every key; raise it when decoding changes what ends up in the cache."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """What is cached: both splits and what describes them."""

    train: Split
    test: Split
    class_names: tuple[str, ...]
    layout: str
    """How the data was laid out: "folders" (one per class) or "batches"."""
    jpeg_quality: int | None
    """Quality estimated from the first image if it is a JPEG."""
    notes: tuple[str, ...] = ()
    """What a user should know of how the files were read."""


def folder() -> Path:
    """Return the cache's folder: ``$XDG_CACHE_HOME/nestnet/datasets``, by default in ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "nestnet" / "datasets"


def cached(
    kind: str, fingerprint: str, resize: tuple[int, int] | None, decode: Callable[[], Decoded]
) -> Decoded:
    """Return the decoded data for this key, calling ``decode`` where the cache has none.

    A damaged cache file is decoded again; a cache that cannot be written is done without.
    """
    key = hashlib.sha256(f"{FORMAT_VERSION}\0{kind}\0{fingerprint}\0{resize}".encode()).hexdigest()
    path = folder() / f"{kind}-{key[:32]}.npz"
    found = _read(path)
    if found is None:
        found = decode()
        _write(path, found)
    return found


def cached_array(kind: str, key: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """Return the array for this ``key``, calling ``make`` where the cache has none.

    A damaged cache file is made again; a cache that cannot be written is done without.
    """
    digest = hashlib.sha256(f"{FORMAT_VERSION}\0{kind}\0{key}".encode()).hexdigest()
    path = folder() / f"{kind}-{digest[:32]}.npy"
    try:
        found: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        found = make()
        _store(path, lambda file: np.save(file, found))
    return found


def _read(path: Path) -> Decoded | None:
    """Return the content of ``path``, or None if it is absent or damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            train_x: Uint8Array = stored["train_images"]
            test_x: Uint8Array = stored["test_images"]
            train_y: Int64Array = stored["train_targets"]
            test_y: Int64Array = stored["test_targets"]
            names = tuple(str(name) for name in stored["class_names"])
            layout = str(stored["layout"])
            quality = int(stored["jpeg_quality"])
            notes = tuple(str(note) for note in stored["notes"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    train, test = Split(train_x, train_y), Split(test_x, test_y)
    return Decoded(train, test, names, layout, quality or None, notes)


def _write(path: Path, decoded: Decoded) -> None:
    """Store ``decoded``."""

    def save(file: IO[bytes]) -> None:
        np.savez(
            file,
            train_images=decoded.train.images,
            train_targets=decoded.train.targets,
            test_images=decoded.test.images,
            test_targets=decoded.test.targets,
            class_names=np.array(decoded.class_names),
            layout=np.array(decoded.layout),
            jpeg_quality=np.int64(decoded.jpeg_quality or 0),
            notes=np.array(decoded.notes, dtype=np.str_),
        )

    _store(path, save)


def _store(path: Path, save: Callable[[IO[bytes]], object]) -> None:
    """Write a file atomically; an unwritable cache is not an error."""
    partial = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=".writing-", suffix=path.suffix, delete=False
        ) as file:
            partial = file.name
            save(file)
        os.replace(partial, path)
    except OSError:
        if partial:
            Path(partial).unlink(missing_ok=True)
