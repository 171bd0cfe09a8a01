"""One call of a kernel with everything the generated C needs to make it.

Everything is frozen data. Axes are h, w, c; sizes are bytes unless the name says otherwise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from codegen.graph.ir import Op

Place = Literal["input", "output", "arena"]
"""Where a tensor lives: in the caller's input or output buffer, or in the arena; the first two only
in a network with one input and one output."""


@dataclass(frozen=True)
class Buffer:
    """One activation tensor or scratch area and where it lies."""

    value: str
    """Name of the graph value, ``<layer>.scratch`` or ``<layer>.decoded``."""
    place: Place
    offset_bytes: int
    """From the start of ``place``; a multiple of 8 in the arena, 0 in "input" and "output"."""
    size_bytes: int


@dataclass(frozen=True)
class Args(ABC):
    """Literal arguments of a kernel; each file of ``codegen/kernels/`` has its own kind."""

    @property
    def needs_state(self) -> bool:
        """Return whether a call depends on the level or on what lies in the arena."""
        return True

    @property
    def in_elements(self) -> tuple[int, ...]:
        """Return the elements of the first inputs; each further one is as large as the output."""
        return ()

    @property
    @abstractmethod
    def out_elements(self) -> int:
        """Return the elements of the output."""


@dataclass(frozen=True)
class Coded:
    """What a stream is that does not lie in flash as kernels read it; docs/format.md.

    The stream's image member then holds the stored bytes: uint8_t, aligned to 1.
    """

    codec: str
    """Name of a codec that is decoded."""
    decoded_bytes: int
    """Bytes of the execution form, at least 1."""
    offset_bytes: int
    """Of the execution form in the layer's decoded area; a multiple of 4 for weights."""


@dataclass(frozen=True, eq=False)
class Member:
    """One member of the weight image, a C struct without padding."""

    name: str
    """The member's name, ``<call.c_name>_<role>[_<level>]``; unique in the image."""
    role: str
    """What it holds: "weights", "positions", "multiplier", "bias", "bias_delta", ..."""
    c_type: str
    """int32_t, int16_t, uint16_t, int8_t or uint8_t."""
    array: NDArray[np.generic]
    """The content; its shape gives the member's dimensions, e.g. ``name[levels][out_c]``."""
    offset_bytes: int
    align_bytes: int
    """Alignment kernels rely on: 4, 2 or 1; ``offset_bytes`` is a multiple of it."""
    layer: str
    """Name of the op it belongs to."""
    coded: Coded | None = None
    """None: it lies in flash as kernels read it."""
    by_level: bool = False
    """Whether a level reads its own row of the first axis."""

    @property
    def size_bytes(self) -> int:
        """Return the bytes the member takes in flash."""
        return int(self.array.nbytes)

    @property
    def execution_bytes(self) -> int:
        """Return the bytes kernels read of it."""
        return self.size_bytes if self.coded is None else self.coded.decoded_bytes

    @property
    def dims(self) -> tuple[int, ...]:
        """Return the C array dimensions."""
        return tuple(int(extent) for extent in self.array.shape)


@dataclass(frozen=True, eq=False)
class Stream:
    """One level's increment of a nested layer (``nn_stream``); docs/format.md."""

    level: int
    positions: Member
    weights: Member


@dataclass(frozen=True)
class LevelCost:
    """What one layer, or a whole network, costs at one level."""

    macs: int
    """Multiply-accumulates on kept weights; padding counted, format dummies not."""
    cycles: int
    """Modelled by the kernel's file in codegen/kernels/, not measured."""
    weight_bytes: int
    """Flash read: weights, positions and this level's tables."""


STORED_ROLES = ("weights", "channel_level")
"""Members beside the streams that hold weights or say which there are; the rest are tables."""


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a kernel, in execution order: the record of a lowered layer."""

    index: int
    name: str
    """Name of the op in the graph."""
    c_name: str
    """``layer_<index>_<name>``, a C identifier, unique."""
    op: Op
    kernel: str
    """The C function it calls: ``nn_<kernel>`` in ``firmware/kernels/<kernel>/``, or for
    ``cmsis_*`` the function of the CMSIS-NN s8 API of the same purpose."""
    reason: str
    """Why this kernel, one sentence, for the report."""
    storage: str
    """How the weights are stored, as in "nested, positions deltas"; empty without weights."""
    args: Args
    inputs: tuple[Buffer, ...]
    """The op's inputs; the fused residual or an addition's second operand comes second."""
    output: Buffer
    scratch: Buffer | None
    """int16 work area in the arena."""
    decoded: Buffer | None
    """Where the layer's coded streams are decoded; None if all of them are raw. Under "inference"
    other buffers use the bytes before and after the layer, under "level" nothing else ever does."""
    in_shape: tuple[int, int, int]
    out_shape: tuple[int, int, int]
    members: Mapping[str, Member]
    """By role, the streams left out."""
    streams: tuple[Stream, ...]
    """One per level of a nested layer."""
    levels: tuple[LevelCost, ...]

    def all_members(self) -> Iterator[Member]:
        """Yield every image member of the layer."""
        yield from self.members.values()
        for stream in self.streams:
            yield stream.positions
            yield stream.weights

    @property
    def flash_bytes(self) -> int:
        """Return the bytes of all the layer's image members."""
        return sum(member.size_bytes for member in self.all_members())

    @property
    def stored_bytes(self) -> int:
        """Return the bytes of the layer's weights and positions in flash."""
        return sum(member.size_bytes for member in self._stored())

    @property
    def execution_bytes(self) -> int:
        """Return the bytes of the layer's weights and positions as kernels read them."""
        return sum(member.execution_bytes for member in self._stored())

    def own_bytes(self, level: int) -> int:
        """Return the image bytes that only ``level`` and denser ones need."""
        own = 0
        for stream in self.streams:
            if stream.level == level:
                own += stream.positions.size_bytes + stream.weights.size_bytes
        tables = (member for member in self.members.values() if member.by_level)
        return own + sum(table.size_bytes // table.dims[0] for table in tables)

    def _stored(self) -> Iterator[Member]:
        yield from (self.members[role] for role in STORED_ROLES if role in self.members)
        for stream in self.streams:
            yield stream.weights
            yield stream.positions
