"""Take test images of a run's data set in the form a device gets them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codegen import nestfile
from codegen.errors import UserError
from codegen.ir import Int8Array
from nestnet import config, datasets, runs
from nestnet.classes import check_classes, check_names


@dataclass(frozen=True, eq=False)
class DeviceImages:
    """Quantized test images and their labels."""

    title: str
    """Of the data set, as a table of results prints it."""
    images: Int8Array
    """Shape (n, h, w, c): pixel - 128."""
    labels: tuple[int, ...]
    available: int
    """Size of the whole test set."""


def device_images(model: Path, count: int) -> DeviceImages:
    """Return ``count`` images of the test set of the run that ``model`` lies in, evenly spread.

    Spread, because many data sets are sorted by class. More than there are gives all of them.

    Raises:
        UserError: ``count`` below 1, the run's data set cannot be loaded any more, or its classes
            are not those of the network.
    """
    if count < 1:
        raise UserError(
            "--images", "no image to run", got=count, expected="at least 1", action="Give more"
        )
    run = model.parent
    if not (run / runs.CONFIG).is_file():
        raise UserError(
            str(run),
            "the network lies in no run folder, so its test images are not known",
            got=f"no {runs.CONFIG}",
            expected=f"{runs.CONFIG} beside the .nestnet file",
            action="Name a run with --run, or give images to codegen.flow.run in Python",
        )
    chosen = config.load(run / runs.CONFIG)
    dataset = datasets.of(chosen)
    _check_classes(model, dataset.class_names)
    available = len(dataset.test.labels)
    index = np.linspace(0, available - 1, min(count, available)).round().astype(np.int64)
    images = (dataset.test.images[index].astype(np.int16) - 128).astype(np.int8)
    labels = tuple(int(label) for label in dataset.test.labels[index])
    return DeviceImages(dataset.title, images, labels, available)


def _check_classes(model: Path, found: tuple[str, ...]) -> None:
    """Refuse data of other classes than the network's; of a file without names, of another count.

    Raises:
        UserError: the classes differ.
    """
    graph = nestfile.load(model)
    names = graph.provenance.class_names
    if names:
        action = "Name the class folders as they were, or train a new run"
        check_classes(str(model), names, found, action)
    else:
        check_names(str(model), found, graph.value(graph.output).shape[2])
