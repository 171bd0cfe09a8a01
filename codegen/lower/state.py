"""A network on its way down: what the steps of lowering have made so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from codegen.graph.ir import Graph
from codegen.lower.buffers import Buffers, Lowered
from codegen.program.call import Call, Member
from codegen.program.draft import Candidate
from codegen.target.target import Target


@dataclass(frozen=True, eq=False)
class Image:
    """The weight image."""

    members: tuple[Member, ...]
    """In struct order."""
    content: bytes
    """As it lies in flash, little endian, zero-padded to a multiple of 4."""


@dataclass(frozen=True, eq=False)
class State:
    """What is known of a network; each step fills in its part."""

    source: Graph
    """As exported."""
    target: Target
    graph: Graph
    """After the passes so far."""
    offers: Mapping[str, tuple[Candidate, ...]] = field(default_factory=dict)
    """Every way to compute each op, by its name."""
    layers: tuple[Lowered, ...] = ()
    """The chosen way of each op, in order."""
    buffers: Buffers | None = None
    image: Image | None = None
    calls: tuple[Call, ...] = ()
