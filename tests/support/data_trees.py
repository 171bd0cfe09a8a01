"""Small data sets in every layout, made on the spot."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from nestnet.datasets.cifar10 import BATCHES, CLASS_NAMES, TEST_BATCH

Tree = dict[str, bytes]
"""File name -> content."""


def encode(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    """Return ``pixels`` (h, w) or (h, w, c) as an image file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def random_tree(
    classes: tuple[str, ...] = ("ant", "bee", "cat"),
    *,
    size: tuple[int, ...] = (5, 7, 3),
    per_class: int = 3,
    seed: int = 0,
    kind: str = "PNG",
) -> tuple[Tree, dict[str, np.ndarray]]:
    """Return a train/ and test/ tree of random images and the pixels of every file."""
    random = np.random.default_rng(seed)
    files: Tree = {}
    pixels: dict[str, np.ndarray] = {}
    for split in ("train", "test"):
        for label in classes:
            for i in range(per_class):
                name = f"{split}/{label}/{i:02d}.{kind.lower()}"
                pixels[name] = random.integers(0, 256, size, dtype=np.uint8)
                files[name] = encode(pixels[name], kind)
    return files, pixels


def write_directory(files: Mapping[str, bytes], path: Path) -> Path:
    """Write ``files`` below ``path``; a name that ends in "/" is a folder."""
    for name, content in files.items():
        target = path / name
        if name.endswith("/"):
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    return path


def write_zip(files: Mapping[str, bytes], path: Path) -> Path:
    """Pack ``files`` into a .zip archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(files: Mapping[str, bytes], path: Path) -> Path:
    """Pack ``files`` into a .tar archive, compressed as its name says."""
    compression = {".gz": "gz", ".bz2": "bz2", ".xz": "xz", ".tar": ""}[path.suffix]
    with tarfile.open(path, f"w:{compression}") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name.rstrip("/"))
            member.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


WRITERS: dict[str, Callable[[Mapping[str, bytes], Path], Path]] = {
    "data": write_directory,
    "data.zip": write_zip,
    "data.tar": write_tar,
    "data.tar.gz": write_tar,
    "data.tar.bz2": write_tar,
    "data.tar.xz": write_tar,
}
"""File name -> function that writes files in that form."""


def cifar_arrays(seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return batch name -> images (n, 32, 32, 3) and labels, a few per batch."""
    random = np.random.default_rng(seed)
    return {
        batch: (
            random.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8),
            random.integers(0, len(CLASS_NAMES), 3),
        )
        for batch in (*BATCHES, TEST_BATCH)
    }


def cifar_binary(arrays: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Tree:
    """Return the official binary layout."""
    return {
        f"cifar-10-batches-bin/{batch}.bin": b"".join(
            bytes([label]) + image.transpose(2, 0, 1).tobytes()
            for image, label in zip(images, labels, strict=True)
        )
        for batch, (images, labels) in arrays.items()
    }


def cifar_python(arrays: Mapping[str, tuple[np.ndarray, np.ndarray]], protocol: int = 2) -> Tree:
    """Return the official python layout."""
    files = {"cifar-10-batches-py/batches.meta": pickle.dumps({b"label_names": [b"x"]}, protocol)}
    for batch, (images, labels) in arrays.items():
        content = {
            b"batch_label": b"training batch",
            b"labels": [int(label) for label in labels],
            b"data": np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), -1),
            b"filenames": [b"a.png"] * len(images),
        }
        files[f"cifar-10-batches-py/{batch}"] = pickle.dumps(content, protocol)
    return files
