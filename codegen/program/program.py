"""A lowered network: what :func:`codegen.lower.lowering.lower` returns, C text is made of."""

from __future__ import annotations

from dataclasses import dataclass

from codegen.graph.ir import Graph
from codegen.program.call import Buffer, Call, LevelCost, Member
from codegen.target.target import Target


@dataclass(frozen=True)
class ProgramLevel:
    """One nested sub-network as the firmware reports it (``nn_level_info``)."""

    name: str
    sparsity: float
    accuracy: float | None
    """Top-1 of the quantized network, 0..1."""
    cost: LevelCost


@dataclass(frozen=True, eq=False)
class Program:
    """A lowered network."""

    graph: Graph
    """After the passes: what the C does, op for op."""
    source: Graph
    """Before the passes: what the user exported."""
    target: Target
    layers: tuple[Call, ...]
    """One per op except Reshape, which moves no data."""
    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    """In the arena, unless there is one of each: then the caller's. They may share bytes."""
    image: tuple[Member, ...]
    """In struct order: members aligned to 4, then 2, then 1 byte; no padding between them."""
    image_bytes: bytes
    """The struct as it lies in flash, little endian, zero-padded to a multiple of 4."""
    crc32: int
    """IEEE 802.3 CRC-32 of ``image_bytes``."""
    arena_bytes: int
    """A multiple of 8."""
    peak_bytes: tuple[int, ...]
    """Per layer, the fewest arena bytes it can run in: what is alive, less what its output may
    share with inputs that die. Their maximum bounds any plan from below."""
    levels: tuple[ProgramLevel, ...]

    @property
    def execution_bytes(self) -> int:
        """Return the bytes the image would take if no stream were coded."""
        gained = sum(layer.execution_bytes - layer.stored_bytes for layer in self.layers)
        return len(self.image_bytes) - self.pad_bytes + gained

    @property
    def has_coded_streams(self) -> bool:
        """Return whether anything has to be decoded."""
        return any(layer.decoded is not None for layer in self.layers)

    @property
    def pad_bytes(self) -> int:
        """Return the zero bytes after the last member (a last member ``uint8_t pad[n]``)."""
        used = sum(member.size_bytes for member in self.image)
        return len(self.image_bytes) - used
