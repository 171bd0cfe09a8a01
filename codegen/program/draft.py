"""What a kernel makes of an operator: a call before memory and image are laid out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import lcm

import numpy as np
from numpy.typing import NDArray

from codegen.program.call import Args, Coded, LevelCost


@dataclass(frozen=True)
class Overlap:
    """Where an output may start relative to an input that dies."""

    lead_bytes: int
    """The output starts at least so far below the input; negative: at most so far above."""
    step_bytes: int = 1
    """The distance is a multiple of this."""

    def allows(self, distance_bytes: int) -> bool:
        """Return whether the output may start ``distance_bytes`` below the input."""
        return distance_bytes >= self.lead_bytes and distance_bytes % self.step_bytes == 0

    def both(self, other: Overlap) -> Overlap:
        """Return the rule of an input that is read in two ways."""
        lead = max(self.lead_bytes, other.lead_bytes)
        return Overlap(lead, lcm(self.step_bytes, other.step_bytes))


@dataclass(frozen=True, eq=False)
class Content:
    """A member of the weight image before it has an offset."""

    role: str
    """What it holds: "weights", "positions", "multiplier", "bias", "bias_delta", ..."""
    array: NDArray[np.generic]
    align_bytes: int
    level: int | None = None
    """Set for the streams of a nested layer."""
    coded: Coded | None = None
    """Set if ``array`` is the stored code of a stream."""
    by_level: bool = False
    """Whether a level reads its own row of the first axis and no other."""


@dataclass(frozen=True, eq=False)
class Draft:
    """A call whose buffers and image offsets are not assigned yet."""

    args: Args
    contents: tuple[Content, ...]
    levels: tuple[LevelCost, ...]
    scratch_bytes: int = 0
    decoded_bytes: int = 0
    """Arena area that the layer's coded streams are decoded into."""
    storage: str = ""
    """How the weights are stored, as in "nested, positions deltas"; empty without weights."""
    overlaps: tuple[Overlap | None, ...] = ()
    """Per input, how the output may lie over it; None, or no entry: not at all."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to compute an operator: a kernel with one storage of the weights."""

    kernel: str
    draft: Callable[[], Draft]
    """Lays the weights out; called for the candidate that is chosen."""
    why: str
    """Why such a kernel."""
    facts: str = ""
    """What a choice among several weighs, for the report; empty where there is no other."""
    storage: str = ""
    """How the weights are stored, as in "nested, positions deltas"; empty without weights."""
    codecs: frozenset[str] = frozenset()
    """Those that have to be decoded."""
    cycles: int = 0
    """Modelled, at the densest level."""
    stored_bytes: int = 0
    """Weights and positions that the densest level reads."""
    area_bytes: int = 0
    """Arena bytes that all decoded streams together take; 0 if none is coded."""
    decoding_bytes: int = 0
    """Flash of what tells the decoders about this layer."""


def round_up(value: int, multiple: int) -> int:
    """Return the smallest multiple of ``multiple`` that is at least ``value``."""
    return -(-value // multiple) * multiple
