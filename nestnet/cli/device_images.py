"""Take images for a device: test images of a run's data set, or random ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.ir import Int8Array
from codegen.graph.sources.quantizer import FloatSource, Int16Source
from codegen.graph.synthetic import random_inputs
from nestnet import config, datasets, runs
from nestnet.classes import check_classes
from nestnet.config import TrainConfig
from nestnet.datasets import Dataset
from nestnet.datasets._types import CLASSES, Targets

_ACTION = "Name the class folders as they were, or train a new run"


@dataclass(frozen=True, eq=False)
class DeviceImages:
    """Quantized images and, of test images, what there is to answer."""

    data: str
    """The data set's title."""
    inputs: tuple[Int8Array, ...]
    """Per input (n, h, w, c); of pixels: pixel - 128."""
    targets: Targets | None
    """Shape (n, ...); None for random images."""
    available: int
    """Size of the whole test set; of random images their number."""

    @property
    def count(self) -> int:
        """Return how many there are."""
        return len(self.inputs[0])

    @property
    def title(self) -> str:
        """Return what was run, as the title of a table says it."""
        if self.targets is None:
            return f"{self.count} random images: bit-exactness only, no accuracy"
        return f"{self.data}, {self.count} of {self.available} test images"


def device_images(model: Path, count: int, data: str = "") -> DeviceImages:
    """Return ``count`` images of the test set of the run that ``model`` lies in, evenly spread.

    Spread, because many data sets are sorted by class. More than there are gives all of them. A
    network that lies in no run folder, as one with random weights, gets random images. ``data`` is
    where the data set lies now, if it has moved since the training.

    Raises:
        UserError: ``count`` below 1, ``data`` for a network without a run, the run's data set
            cannot be loaded any more, or its classes are not those of the network.
    """
    check_count(count)
    run = model.parent
    if not (run / runs.CONFIG).is_file():
        if data:
            raise UserError(
                "--data",
                "the network lies in no run, which would say how to read it",
                got=data,
                expected="a network in the folder of its run",
                action="Name the run with --run, or leave --data out for random images",
            )
        inputs = random_inputs(nestfile.load(model), count, seed=0)
        return DeviceImages("random images", inputs, None, count)
    dataset, targets = _answered(model, config.load(run / runs.CONFIG), data)
    available = len(targets)
    index = np.linspace(0, available - 1, min(count, available)).round().astype(np.int64)
    images = _quantized(model, dataset, index)
    return DeviceImages(dataset.title, (images,), targets[index], available)


def _quantized(model: Path, data: Dataset, index: NDArray[np.int64]) -> Int8Array:
    """Return some test images as the device makes them of raw numbers, for the network's file.

    Raises:
        UserError: the data are of another kind than the network's input, or heard otherwise.
    """
    raw = data.test.images[index]
    source = nestfile.load(model).only_input.source
    kind = {type(None): np.uint8, Int16Source: np.int16, FloatSource: np.float32}[type(source)]
    if raw.dtype != kind or (
        isinstance(source, Int16Source) and source.spectrogram != data.spectrogram
    ):
        raise UserError(
            str(model),
            "the data are not what the network was trained on",
            got=f"{raw.dtype}, heard as {data.spectrogram}",
            expected=f"{np.dtype(kind)}, made as the file says: {source}",
            action="Give the data as they were, or train a new run",
        )
    if source is None:
        return (raw.astype(np.int16) - 128).astype(np.int8)
    return source.quantize(raw)


def _answered(model: Path, trained: TrainConfig, data: str) -> tuple[Dataset, Targets]:
    """Return the data set of a run and what there is to answer to its test images.

    Classes take no torch, which other tasks load: networks are deployed without it.

    Raises:
        UserError: the data cannot be loaded, or are not those of the network: other classes, or of
            a file without names another number of them.
    """
    graph = nestfile.load(model)
    names = graph.provenance.class_names
    if names and trained.task in (config.AUTO, CLASSES):
        dataset = datasets.of(trained, data)
        if dataset.task == CLASSES:
            check_classes(str(model), names, dataset.class_names, _ACTION)
            return dataset, dataset.test.targets
    from nestnet import tasks  # imports torch

    task, dataset = tasks.with_data(trained, data)
    if names:
        task.check_same(str(model), names, task.names(dataset), _ACTION)
    else:
        task.check_outputs(str(model), graph.shapes(graph.outputs), dataset)
    return dataset, task.targets(dataset.test).numpy()


def check_count(count: int) -> None:
    """Raise UserError for a number of images below 1."""
    if count < 1:
        raise UserError(
            "--images", "no image to run", got=count, expected="at least 1", action="Give more"
        )
