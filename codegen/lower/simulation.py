"""Follow a plan of the arena layer by layer: does each read what was written for it?

Knows nothing of lifetimes or of how the plan was made, so that a defect there shows here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from codegen.graph.ir import Finding
from codegen.lower.buffers import Buffers
from codegen.program.call import Buffer
from codegen.program.draft import Overlap


@dataclass(frozen=True)
class Use:
    """What one layer does with the arena."""

    layer: str
    inputs: tuple[Buffer, ...]
    output: Buffer
    scratch: Buffer | None
    decoded: Buffer | None
    overlaps: tuple[Overlap | None, ...]


class Simulation:
    """Who wrote each byte of the arena last, layer by layer."""

    def __init__(self, buffers: Buffers, keeps_decoded: bool) -> None:
        """Begin with an arena nobody has written.

        Args:
            buffers: which values are views of which, and the arena's size.
            keeps_decoded: decoded areas have to survive the inference and the next one.
        """
        self.root = buffers.root
        self.inputs = [buffers.value(name) for name in buffers.graph.inputs]
        self.outputs = [buffers.value(name) for name in buffers.graph.outputs]
        self.keeps_decoded = keeps_decoded
        self.names: list[str] = [""]
        self.owner = np.zeros(buffers.plan.arena_bytes, np.int64)

    def run(self, uses: Sequence[Use]) -> Iterator[Finding]:
        """Yield what a layer, or whoever takes the outputs, reads and another has written over."""
        kept = [use.decoded for use in uses if self.keeps_decoded and use.decoded is not None]
        for given in (*kept, *self.inputs):
            if given.place == "arena":
                self._write(given)
        for use in uses:
            for buffer in use.inputs:
                yield from self._read(use.layer, buffer)
            if use.decoded is not None:
                yield from self._read(use.layer, use.decoded) if self.keeps_decoded else ()
            yield from _apart(use)
            written = (use.scratch, None if self.keeps_decoded else use.decoded, use.output)
            for each in written:
                if each is not None and each.place == "arena":
                    self._write(each)
        for use in uses:
            if self.keeps_decoded and use.decoded is not None:
                yield from self._read(use.layer, use.decoded)
        for output in self.outputs:
            yield from self._read("output", output)

    def _write(self, buffer: Buffer) -> None:
        self.names.append(self.root.get(buffer.value, buffer.value))
        self.owner[buffer.offset_bytes : _end(buffer)] = len(self.names) - 1

    def _read(self, reader: str, buffer: Buffer) -> Iterator[Finding]:
        if buffer.place != "arena":
            return
        wanted = self.root.get(buffer.value, buffer.value)
        for writer in np.unique(self.owner[buffer.offset_bytes : _end(buffer)]):
            if self.names[writer] != wanted:
                found = self.names[writer] or "nothing"
                yield reader, (f"the bytes of {buffer.value} as they were written", found)


def _apart(use: Use) -> Iterator[Finding]:
    """Return where buffers of one layer share bytes that its kernel needs apart."""
    areas = [area for area in (use.scratch, use.decoded) if area is not None]
    others = [buffer for buffer in (*use.inputs, use.output) if buffer.place == "arena"]
    for one, other in [*combinations(areas, 2), *product(areas, others)]:
        if _share(one, other):
            yield use.layer, (f"{one.value} apart from {other.value}", one.offset_bytes)
    for position, buffer in enumerate(use.inputs):
        if use.output.place != "arena" or buffer.place != "arena" or not _share(buffer, use.output):
            continue
        rule = use.overlaps[position] if position < len(use.overlaps) else None
        distance = buffer.offset_bytes - use.output.offset_bytes
        if rule is None or not rule.allows(distance):
            yield use.layer, (f"the output over {buffer.value} as {rule} allows", distance)


def _share(one: Buffer, other: Buffer) -> bool:
    return one.offset_bytes < _end(other) and other.offset_bytes < _end(one)


def _end(buffer: Buffer) -> int:
    return buffer.offset_bytes + buffer.size_bytes
