"""Decide what `nestnet bench` measures: a trained run or a network with random weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codegen.errors import UserError
from codegen.graph.ir import Int8Array
from codegen.graph.synthetic import random_inputs
from nestnet.cli.device_images import check_count, device_images

ONLY_UNTRAINED = (
    "--model", "--levels", "--sparsity", "--group", "--allocation", "--seed", "--input-shape",
    "--classes",
)  # fmt: skip
"""Options of `nestnet bench` that make a network."""
ONLY_TRAINED = ("--run", "--data")
"""Options of `nestnet bench` that name a run and its images."""


@dataclass(frozen=True, eq=False)
class Source:
    """A network file and images for it."""

    model: Path
    inputs: tuple[Int8Array, ...]
    """Per input (n, h, w, c)."""


def trained(model: Path, images: int, data: str = "") -> Source:
    """Return a trained network with images of its test set, random ones away from its run."""
    return Source(model, device_images(model, images, data).inputs)


def refuse_untrained_options(given: Sequence[str]) -> None:
    """Raise UserError if ``given`` has an option that only an untrained network takes."""
    extra = [name for name in given if name in ONLY_UNTRAINED]
    if extra:
        raise UserError(
            extra[0],
            "only an untrained network has a choice of it",
            got=", ".join(extra),
            expected="these options together with --untrained",
            action="Add --untrained, or leave them out to measure a run",
        )


def untrained(options: Mapping[str, Any], images: int) -> Source:
    """Build a network with random weights below build/ and return it with random images.

    Args:
        options: model and what else :func:`nestnet.preview.untrained.untrained` takes; None is the
            default.
        images: how many.

    Raises:
        UserError: no model, or anything about the options.
    """
    from nestnet.preview import untrained as networks  # imports torch

    given = {key: value for key, value in options.items() if value is not None}
    if "model" not in given:
        raise UserError(
            "--untrained",
            "which model",
            got="no --model",
            expected="a shipped model or path/to/file.py:factory",
            action="Add --model resnet8; nestnet models lists them",
        )
    check_count(images)
    graph = networks.untrained(given.pop("model"), **given)
    chosen = random_inputs(graph, images, given.get("seed", 0))
    return Source(networks.write_untrained(graph), chosen)


def refuse_trained_options(given: Sequence[str]) -> None:
    """Raise UserError if ``given`` has an option that only a trained network takes."""
    extra = [name for name in given if name in ONLY_TRAINED]
    if extra:
        raise UserError(
            extra[0],
            "a run is trained",
            got=f"{', '.join(extra)} beside --untrained",
            expected="one of both",
            action="Leave one out",
        )
