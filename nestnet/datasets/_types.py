"""What a data set is: two splits of images or samples, with what there is to answer to each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.graph.sources.spectrogram import Spectrogram

Uint8Array = NDArray[np.uint8]
Int16Array = NDArray[np.int16]
Images = NDArray[Any]
Int64Array = NDArray[np.int64]
Targets = NDArray[Any]
"""What there is to answer to each image, shape (n, ...); type and shape are the task's."""

CLASSES = "classification"
"""The task of data with a class for each input, which needs nothing beside them."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images, or windows of samples, with what a network is to answer to them."""

    images: Images
    """Shape (n, h, w, c): uint8 pixels, int16 samples or features, or float32. Samples in a row
    have h 1."""
    targets: Targets
    """Shape (n, ...), as the data set's task says; of a classification int64 (n,), indices into the
    class names."""
    sound: Int16Array | None = None
    """Clips (n, samples) that the images are the features of, where the data set is heard."""


@dataclass(frozen=True)
class Cut:
    """How larger images were cut into the tiles that the splits hold; the plan is
    :mod:`codegen.graph.sources.tiles`."""

    margin: int
    """Pixels of a tile's answer that are left to its neighbours at borders inside an image: test
    targets count only what is a tile's own, so that scores are those of whole images."""
    largest: tuple[int, int]
    """Most height and most width of an image."""


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
    """What augmentation ``auto`` means: any other of :data:`nestnet.config.AUGMENTS`."""
    notes: tuple[str, ...] = ()
    """What was done to the data, and what is odd about it, in sentences without a full stop."""
    test_share: float = 0.0
    """Of test images, as asked for and drawn; 0 by default and where test images are given."""
    task: str = CLASSES
    """What its targets are for, unless a training says otherwise: a file of nestnet/tasks/."""
    spectrogram: Spectrogram | None = None
    """How the sound of its splits is heard; None where it has none."""
    cut: Cut | None = None
    """None where images are whole."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Return height, width, channels of every image."""
        height, width, channels = self.train.images.shape[1:]
        return int(height), int(width), int(channels)
