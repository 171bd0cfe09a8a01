"""What an operator's file hands to :mod:`codegen.pack`: a layer before memory is planned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from codegen.packed import (
    AddConstants,
    CmsisConstants,
    Kernel,
    LevelCost,
    RequantConstants,
    WindowShape,
)

Target = Literal["nestnet", "cmsis-nn"]
"""Whose kernels dense operators call."""


@dataclass(frozen=True, eq=False)
class FieldSpec:
    """A weight image member before it has an offset."""

    role: str
    """A member of :class:`codegen.packed.LayerFields`, or "positions"/"weights" of a stream."""
    array: NDArray[np.generic]
    align_bytes: int
    level: int | None = None
    """Set for the streams of a nested layer."""


@dataclass(frozen=True, eq=False)
class Draft:
    """A layer whose buffers and image offsets are not assigned yet."""

    kernel: Kernel
    reason: str
    fields: tuple[FieldSpec, ...]
    levels: tuple[LevelCost, ...]
    scratch_bytes: int = 0
    shape: WindowShape | None = None
    requant: RequantConstants | None = None
    add: AddConstants | None = None
    cmsis: CmsisConstants | None = None
    group: int = 1
    groups: int = 1
    tile: int = 1


def round_up(value: int, multiple: int) -> int:
    """Return the smallest multiple of ``multiple`` that is at least ``value``."""
    return -(-value // multiple) * multiple
