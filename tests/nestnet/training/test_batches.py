"""Batches cover the data once, augment as they say and depend on (seed, epoch) only."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nestnet.datasets import Split
from nestnet.pixels import DEFAULT
from nestnet.tasks._augment import augmented
from nestnet.tasks.classification import TASK
from nestnet.training.batches import Batches

CPU = torch.device("cpu")


def _numbered(count: int) -> Split:
    """Images whose every pixel is the image's number, which is also its label."""
    images = np.repeat(np.arange(count, dtype=np.uint8), 5 * 7 * 3).reshape(count, 5, 7, 3)
    return Split(images, np.arange(count, dtype=np.int64))


def test_input_is_centred_and_channels_last() -> None:
    pixels = torch.tensor([0, 128, 192, 255], dtype=torch.uint8).reshape(1, 2, 2, 1)
    x = DEFAULT.to_float(pixels.expand(2, 2, 2, 3).contiguous())
    assert x.shape == (2, 3, 2, 2)
    assert x[0, 0].flatten().tolist() == [-2.0, 0.0, 1.0, 127 / 64]
    assert x.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("augment", ["none", "crop", "flip-crop"])
def test_an_epoch_depends_on_seed_and_epoch_only(augment: str) -> None:
    split = _numbered(31)
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, split.images.shape, dtype=np.uint8), split.targets)
    first = list(Batches(split, TASK, CPU, 8).epoch(3, 5, augment))
    again = list(Batches(split, TASK, CPU, 8).epoch(3, 5, augment))
    other = list(Batches(split, TASK, CPU, 8).epoch(3, 6, augment))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    assert any(not torch.equal(a[1], b[1]) for a, b in zip(first, other, strict=True))


def test_an_epoch_shows_each_image_once_with_its_label() -> None:
    batches = Batches(_numbered(31), TASK, CPU, 8)
    seen = []
    for images, labels in batches.epoch(0, 0, "none"):
        assert torch.equal(images[:, 0, 0, 0] * 64 + 128, labels.float())
        seen += labels.tolist()
    assert batches.steps == 3
    assert len(seen) == len(set(seen)) == 24
    assert [int(n) for _, labels in batches.in_order(4) for n in labels] == list(range(31))


def test_processes_share_each_batch() -> None:
    split = _numbered(37)
    whole = list(Batches(split, TASK, CPU, 12).epoch(1, 2, "crop"))
    parts = [list(Batches(split, TASK, CPU, 12, rank, 3).epoch(1, 2, "crop")) for rank in range(3)]
    for step, (images, labels) in enumerate(whole):
        for rank in range(3):
            assert torch.equal(parts[rank][step][0], images[rank::3])
            assert torch.equal(parts[rank][step][1], labels[rank::3])


def test_a_small_data_set_still_gives_a_batch() -> None:
    assert Batches(_numbered(5), TASK, CPU, 128).steps == 1
    assert Batches(_numbered(5), TASK, CPU, 128, 0, 2).batch == 4


def test_crops_are_windows_of_the_padded_image() -> None:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (64, 16, 17, 3), dtype=torch.uint8, generator=generator)
    moved = augmented(pixels, generator, "flip-crop")[0]
    assert moved.shape == pixels.shape and moved.dtype == torch.uint8
    padded = torch.full((64, 20, 21, 3), 128, dtype=torch.uint8)
    padded[:, 2:18, 2:19] = pixels
    kinds = set()
    for index in range(64):
        found = [
            (top, left, flip)
            for top in range(5)
            for left in range(5)
            for flip in (False, True)
            if torch.equal(
                moved[index],
                padded[index, top : top + 16, left : left + 17].flip(1)
                if flip
                else padded[index, top : top + 16, left : left + 17],
            )
        ]
        assert len(found) == 1, f"image {index}: {found}"
        kinds.add(found[0])
    assert {flip for _, _, flip in kinds} == {False, True}
    assert {top for top, _, _ in kinds} == {left for _, left, _ in kinds} == set(range(5))


def test_crop_alone_never_mirrors() -> None:
    ramp = torch.arange(0, 240, 15, dtype=torch.uint8).reshape(1, 1, 16, 1).expand(50, 16, 16, 1)
    moved = augmented(ramp.contiguous(), torch.Generator().manual_seed(2), "crop")[0]
    inner = moved[:, 8, 3:13, 0].int()
    assert bool((inner.diff(dim=1) == 15).all())
