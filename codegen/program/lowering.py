"""What an operator's file hands to :mod:`codegen.lower.pack`: a layer before memory is planned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from codegen.formats.storage import Codec
from codegen.kernels.in_place import Overlap
from codegen.program.packed import (
    AddConstants,
    CmsisConstants,
    Coded,
    Decode,
    Kernel,
    LevelCost,
    Optimize,
    RequantConstants,
    WindowShape,
)

Target = Literal["nestnet", "cmsis-nn"]
"""Whose kernels dense operators call."""


@dataclass(frozen=True)
class Options:
    """What the lowering of a layer is told besides the graph."""

    kernels: Target
    optimize: Optimize = "balanced"
    codecs: tuple[Codec, ...] = ("raw",)
    """Those that may be used."""
    decode: Decode = "inference"
    room_bytes: int = 0
    """Arena bytes free while the layer runs, in one piece; ``optimize`` "size" asks for more."""


@dataclass(frozen=True, eq=False)
class FieldSpec:
    """A weight image member before it has an offset."""

    role: str
    """A member of :class:`codegen.program.packed.LayerFields`, or positions or weights."""
    array: NDArray[np.generic]
    align_bytes: int
    level: int | None = None
    """Set for the streams of a nested layer."""
    coded: Coded | None = None
    """Set if ``array`` is the stored code of a stream."""


@dataclass(frozen=True, eq=False)
class Draft:
    """A layer whose buffers and image offsets are not assigned yet."""

    kernel: Kernel
    reason: str
    fields: tuple[FieldSpec, ...]
    levels: tuple[LevelCost, ...]
    scratch_bytes: int = 0
    decoded_bytes: int = 0
    """Arena area that the layer's coded streams are decoded into."""
    storage: str = ""
    """How the weights are stored, as in "nested, positions deltas"; empty without weights."""
    shape: WindowShape | None = None
    requant: RequantConstants | None = None
    add: AddConstants | None = None
    cmsis: CmsisConstants | None = None
    group: int = 1
    groups: int = 1
    tile: int = 1
    overlaps: tuple[Overlap | None, ...] = ()
    """Per input, how the output may lie over it; None, or no entry: not at all."""


def round_up(value: int, multiple: int) -> int:
    """Return the smallest multiple of ``multiple`` that is at least ``value``."""
    return -(-value // multiple) * multiple
