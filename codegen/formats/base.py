"""What the rest of the compiler asks of a format, in which weights lie, and of a codec."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import Int8Array, Uint8Array

Role = Literal["weights", "positions"]
"""What a stream holds; in the order in which streams are decoded into a layer's area."""

ROLES: tuple[Role, ...] = ("weights", "positions")


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """The kept weights of an ungrouped layer, and which level each belongs to."""

    weight: Int8Array
    """(out_c, kernel_h, kernel_w, in_c); a linear layer's with kernel 1x1."""
    group_size: int
    """G of the nested groups, 1, 2 or 4; 1 for a layer without levels."""
    group_level: Uint8Array | None
    """(out_c, kernel_h, kernel_w, ceil(in_c / G)), the first level with each group; None for a
    layer that is dense at every level."""
    levels: int
    stride: tuple[int, int] = (1, 1)
    """Vertical and horizontal."""


@dataclass(frozen=True, eq=False)
class Stream:
    """A part of a layer's weights as kernels read it."""

    role: Role
    array: Int8Array | Uint8Array
    align_bytes: int
    """In flash, as kernels read it."""
    level: int | None = None
    """The level that adds it; None for a stream of all levels."""
    present: NDArray[np.bool_] | None = None
    """Of positions, the map they stand for: (rows, count), where the level adds a group."""

    @property
    def decoded_align_bytes(self) -> int:
        """Return the alignment in a layer's decoded area, where a word is read at once."""
        return 4 if self.role == "weights" else 1


class Format(ABC):
    """How the weights of a layer lie; one file of ``codegen/formats/`` with its ``FORMAT``."""

    name: str
    """As reports call it."""
    per_level: bool
    """Whether each level has streams of its own, which denser levels read as well."""

    @abstractmethod
    def holds(self, layer: LayerWeights) -> bool:
        """Return whether the format can hold ``layer``."""

    @abstractmethod
    def channels(self, layer: LayerWeights) -> int:
        """Return the input channels kernels read, with padding."""

    @abstractmethod
    def unit_bytes(self, layer: LayerWeights) -> int:
        """Return the bytes of weights that kernels take at once: the unit of their cost."""

    @abstractmethod
    def encode(self, layer: LayerWeights) -> tuple[Stream, ...]:
        """Return the streams of ``layer``, which the format holds, in the order of the image."""


class Codec(ABC):
    """How a stream is stored in flash; one file of ``codegen/formats/codecs/``, ``CODEC``."""

    name: str
    """As reports call it; the decoder is ``nn_<name>``."""
    roles: tuple[Role, ...]
    """What it can store."""
    decoder_bytes: int
    """Flash of the decoder with what calls it and checks its streams: gcc 12 -Os, Cortex-M4; 0 if
    nothing is decoded."""
    byte_instructions: float
    """Of the decoder, per byte it writes; codecs are listed by it."""

    @abstractmethod
    def encode(self, stream: Stream) -> bytes:
        """Return what lies in flash."""

    def size_bytes(self, stream: Stream) -> int:
        """Return the length of :meth:`encode`'s result."""
        return len(self.encode(stream))

    @abstractmethod
    def instructions(self, stream: Stream) -> float:
        """Return the modelled instructions of decoding ``stream`` once; Cortex-M4, not measured.

        Coefficients: the decoders of resnet8, random groups of 4 at four levels, counted apart.
        """
