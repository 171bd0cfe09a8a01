"""What a data set is: two splits of uint8 images with labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Uint8Array = NDArray[np.uint8]
Int64Array = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels."""

    images: Uint8Array
    """Shape (n, h, w, c), 0..255."""
    labels: Int64Array
    """Shape (n,), indices into the data set's class names."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A classification data set in memory."""

    name: str
    title: str
    """The name as a table of results prints it; says when the images are not the originals."""
    train: Split
    test: Split
    class_names: tuple[str, ...]
    default_augment: str
    """"none", "crop" or "flip-crop": what training uses unless told otherwise."""
    notes: tuple[str, ...] = ()
    """What was done to the data, and what is odd about it, in sentences without a full stop."""
    test_share: float = 0.0
    """Of test images, as asked for and drawn; 0 by default and where test images are given."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Return height, width, channels of every image."""
        height, width, channels = self.train.images.shape[1:]
        return int(height), int(width), int(channels)
