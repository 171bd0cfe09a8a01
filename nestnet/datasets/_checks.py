"""What is odd about a data set that can be trained on, in sentences for the user."""

from __future__ import annotations

import hashlib

import numpy as np

from nestnet.datasets._types import Dataset, Split

FEW_TEST_IMAGES = 100
UNEVEN = 10
"""Times as many training images in the largest class as in the smallest from which on it is said.
"""
LARGE_IMAGE_BYTES = 128 * 1024
"""What an image may take before it is said that few boards have RAM for it and what follows."""


def oddities(dataset: Dataset) -> tuple[str, ...]:
    """Return what may make the accuracies of ``dataset`` say less than they seem to."""
    found: list[str] = []
    test = len(dataset.test.targets)
    if test < FEW_TEST_IMAGES:
        found.append(
            f"{test} test image{'s' * (test > 1)}: accuracies move in steps of {1 / test:.1%}, "
            "smaller differences say nothing"
        )
    trained, tested = (_classes_of(split) for split in (dataset.train, dataset.test))
    shared = sum(count for image, (_, count) in tested.items() if image in trained)
    if shared:
        found.append(
            f"{shared} of {test} test images are also training images: the accuracy on them says "
            "nothing about new images"
        )
    both = [
        trained.get(image, (set(), 0))[0] | tested.get(image, (set(), 0))[0]
        for image in trained.keys() | tested.keys()
    ]
    mixed = sorted(sorted(labels) for labels in both if len(labels) > 1)
    if mixed:
        names = " and ".join(repr(dataset.class_names[label]) for label in mixed[0])
        found.append(
            f"{len(mixed)} image{'s lie' if len(mixed) > 1 else ' lies'} in more than one class, "
            f"as in {names}: no network can tell these apart"
        )
    counts = np.bincount(dataset.train.targets, minlength=len(dataset.class_names))
    least, most = int(counts.argmin()), int(counts.argmax())
    if counts[most] >= UNEVEN * counts[least]:
        found.append(
            f"uneven classes: {dataset.class_names[most]!r} has {counts[most]} training images, "
            f"{dataset.class_names[least]!r} {counts[least]}"
        )
    size = int(np.prod(dataset.input_shape))
    if size > LARGE_IMAGE_BYTES:
        shape = "x".join(map(str, dataset.input_shape))
        found.append(
            f"an image of {shape} takes {size:,} bytes of RAM, more than most boards have beside "
            "what the layers need: --resize scales them down"
        )
    return tuple(found)


def _classes_of(split: Split) -> dict[bytes, tuple[set[int], int]]:
    """Return for the hash of every image its labels and how often it is there."""
    found: dict[bytes, tuple[set[int], int]] = {}
    for image, label in zip(split.images, split.targets.tolist(), strict=True):
        digest = hashlib.sha256(image.tobytes()).digest()
        labels, count = found.get(digest, (set(), 0))
        found[digest] = (labels | {label}, count + 1)
    return found
