"""CIFAR-10, 32x32 colour, 10 classes: official binary or python layout, or class folders."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from codegen.errors import UserError
from nestnet.datasets._reading.cache import Decoded, cached
from nestnet.datasets._reading.images import resize_all
from nestnet.datasets._reading.layout import has_splits
from nestnet.datasets._reading.pickle_data import Call, UnreadablePickle, as_bytes, read
from nestnet.datasets._reading.source import Source, track
from nestnet.datasets._split import refuse_share
from nestnet.datasets._types import Dataset, Int64Array, Split, Uint8Array
from nestnet.datasets.folder import decode_class_folders

CLASS_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
PIXEL_BYTES = 3 * 32 * 32
RECORD_BYTES = 1 + PIXEL_BYTES
"""Binary layout: one label byte, then the red, green and blue planes, row by row."""
BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
TEST_BATCH = "test_batch"


def load(data: Path | None, resize: tuple[int, int] | None, test_share: float) -> Dataset:
    """Load CIFAR-10 (Krizhevsky, 2009) in whichever of its layouts ``data`` has.

    The python layout is read as data; no pickle is executed. Archives are read in place.

    Raises:
        UserError: no ``data``, no known layout, a missing, truncated or damaged batch, or class
            folders that are not ten classes of 32x32 colour images; a ``test_share``.
    """
    refuse_share(test_share, "CIFAR-10 has test images of its own")
    if data is None:
        raise UserError(
            "--data",
            "CIFAR-10 is not part of any dependency",
            got="nothing",
            expected="a directory or archive: binary batches, python batches or class folders",
            action="Download CIFAR-10 and add --data DIR or --data ARCHIVE",
        )
    source = Source(data)
    decoded = cached(
        "cifar10", source.fingerprint(), resize, lambda: _decode_layout(source, resize)
    )
    return Dataset(
        name="cifar10",
        title=_title(decoded),
        train=decoded.train,
        test=decoded.test,
        class_names=decoded.class_names,
        default_augment="flip-crop",
        notes=decoded.notes,
    )


def _title(decoded: Decoded) -> str:
    """Return the data set's name; a copy with other than the original pixels is called so."""
    if decoded.layout == "batches":
        return "CIFAR-10"
    quality = decoded.jpeg_quality
    return f"CIFAR-10 ({'re-encoded' if quality is None else f'JPEG-{quality}'} copy)"


def _decode_layout(source: Source, resize: tuple[int, int] | None) -> Decoded:
    """Find out which layout ``source`` has and decode it."""
    batches = _batches(source)
    if batches:
        return _decode_batches(source, batches, resize)
    if has_splits(source):
        decoded = decode_class_folders(source, resize)
        _check_folders(source, decoded, resize)
        return decoded
    raise UserError(
        str(source.path),
        "no CIFAR-10 layout found",
        got=", ".join(source.names()[:6]) or "an empty folder",
        expected="data_batch_1.bin ... test_batch.bin, or data_batch_1 ... test_batch, or "
        "train/<class>/ and test/<class>/",
        action="Give the unpacked or packed official download",
    )


def _batches(source: Source) -> dict[str, str]:
    """Return batch name -> file name of an official layout; empty if there is no batch at all."""
    wanted = (*BATCHES, TEST_BATCH)
    by_extension: dict[str, dict[str, str]] = {".bin": {}, "": {}}
    for name in source.names():
        path = PurePosixPath(name)
        if path.stem in wanted and path.suffix in by_extension and not name.endswith("/"):
            by_extension[path.suffix][path.stem] = name
    found = max(by_extension.values(), key=len)
    missing = [batch for batch in wanted if batch not in found]
    if found and missing:
        raise UserError(
            str(source.path),
            "incomplete CIFAR-10",
            got=f"no {', '.join(missing)}",
            expected=f"{', '.join(wanted)}",
            action="Download the data set again",
        )
    return found


def _decode_batches(
    source: Source, names: dict[str, str], resize: tuple[int, int] | None
) -> Decoded:
    batch_of = {name: batch for batch, name in names.items()}
    parts: dict[str, Split] = {}
    files = source.files(frozenset(batch_of))
    for name, content in track(files, "Reading CIFAR-10", total=len(batch_of)):
        parse = _parse_binary if name.endswith(".bin") else _parse_python
        split = parse(f"{source.path}/{name}", content)
        images = split.images if resize is None else resize_all(split.images, resize)
        parts[batch_of[name]] = Split(images, split.targets)
    train = Split(
        np.concatenate([parts[batch].images for batch in BATCHES]),
        np.concatenate([parts[batch].targets for batch in BATCHES]),
    )
    return Decoded(train, parts[TEST_BATCH], CLASS_NAMES, layout="batches", jpeg_quality=None)


def _parse_binary(where: str, content: bytes) -> Split:
    if not content or len(content) % RECORD_BYTES:
        raise _damaged(where, f"{len(content)} bytes", f"a multiple of {RECORD_BYTES} bytes")
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, RECORD_BYTES)
    return _split(where, records[:, 1:], records[:, 0].astype(np.int64))


def _parse_python(where: str, content: bytes) -> Split:
    try:
        batch = read(content)
    except UnreadablePickle as error:
        raise _damaged(where, str(error), "a complete CIFAR-10 python batch") from error
    entries = batch if isinstance(batch, dict) else {}
    pixels = _array_bytes(entries.get(b"data"))
    labels = entries.get(b"labels")
    if pixels is None or not isinstance(labels, list):
        raise _damaged(where, "other content", "a dictionary with 'data' (uint8) and 'labels'")
    if not labels or len(pixels) != len(labels) * PIXEL_BYTES:
        raise _damaged(
            where,
            f"{len(pixels)} bytes of pixels for {len(labels)} labels",
            f"{PIXEL_BYTES} bytes per label",
        )
    if not all(isinstance(label, int) and 0 <= label < 256 for label in labels):
        raise _damaged(where, "a label that is no small integer", "labels 0..9")
    rows = np.frombuffer(pixels, dtype=np.uint8).reshape(-1, PIXEL_BYTES)
    return _split(where, rows, np.array(labels, dtype=np.int64))


def _array_bytes(array: Any) -> bytes | None:
    """Return the bytes of a pickled C-ordered uint8 array, or None if ``array`` is not one.

    NumPy's pickle form is ``_reconstruct(...)`` with the state (version, shape, dtype, Fortran
    order, bytes), the dtype being ``dtype("u1", ...)``.
    """
    if not (isinstance(array, Call) and array.function.endswith("multiarray _reconstruct")):
        return None
    state = array.state
    if not (isinstance(state, tuple) and len(state) == 5 and state[3] is False):
        return None
    kind = state[2]
    if not (isinstance(kind, Call) and kind.function == "numpy dtype"):
        return None
    arguments = kind.arguments
    if not (isinstance(arguments, tuple) and arguments and as_bytes(arguments[0]) == b"u1"):
        return None
    return as_bytes(state[4])


def _split(where: str, rows: Uint8Array, labels: Int64Array) -> Split:
    """Turn rows of three colour planes into images (n, 32, 32, 3)."""
    if int(labels.max()) >= len(CLASS_NAMES):
        raise _damaged(where, f"label {int(labels.max())}", "labels 0..9")
    images = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Split(np.ascontiguousarray(images), labels)


def _damaged(where: str, got: str, expected: str) -> UserError:
    return UserError(
        where,
        "damaged CIFAR-10 batch",
        got=got,
        expected=expected,
        action="Download the data set again",
    )


def _check_folders(source: Source, decoded: Decoded, resize: tuple[int, int] | None) -> None:
    shape = decoded.train.images.shape[1:]
    expected = (*(resize or (32, 32)), 3)
    if decoded.class_names != CLASS_NAMES or shape != expected:
        raise UserError(
            str(source.path),
            "class folders that are not CIFAR-10",
            got=f"{len(decoded.class_names)} classes of {'x'.join(map(str, shape))}",
            expected=f"the classes {', '.join(CLASS_NAMES)} of {'x'.join(map(str, expected))}",
            action="Use --dataset folder for other images",
        )
