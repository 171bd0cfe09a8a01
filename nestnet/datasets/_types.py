"""What a data set is: two splits of uint8 images, with what there is to answer to each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Uint8Array = NDArray[np.uint8]
Int64Array = NDArray[np.int64]
Targets = NDArray[Any]
"""What there is to answer to each image, shape (n, ...); type and shape are the task's."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images with what a network is to answer to them."""

    images: Uint8Array
    """Shape (n, h, w, c), 0..255."""
    targets: Targets
    """Shape (n, ...), as the data set's task says; of a classification int64 (n,), indices into the
    class names."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory."""

    name: str
    title: str
    """The name as a table of results prints it; says when the images are not the originals."""
    train: Split
    test: Split
    class_names: tuple[str, ...]
    """Of what targets number or count, as the task says; empty where nothing has a name."""
    default_augment: str
    """"none", "crop" or "flip-crop": what training uses unless told otherwise."""
    notes: tuple[str, ...] = ()
    """What was done to the data, and what is odd about it, in sentences without a full stop."""
    test_share: float = 0.0
    """Of test images, as asked for and drawn; 0 by default and where test images are given."""
    task: str = "classification"
    """What its targets are for, unless a training says otherwise: a file of nestnet/tasks/."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Return height, width, channels of every image."""
        height, width, channels = self.train.images.shape[1:]
        return int(height), int(width), int(channels)
