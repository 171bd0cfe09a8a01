"""Lower every op of a graph, with the storage of weights that suits the network as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations

from codegen.formats.storage import Codec
from codegen.graph.ir import Graph
from codegen.kernels import cost
from codegen.lower.buffers import Buffers, Lowered
from codegen.oprule import rule_of
from codegen.program.lowering import Options


def choose_drafts(graph: Graph, options: Options) -> tuple[tuple[Lowered, ...], Buffers]:
    """Return every layer's draft, and the arena.

    But for size, coding never makes the arena larger, and a codec is used only where the network
    gains more than its decoder takes.
    """
    plain = _drafts(graph, replace(options, codecs=("raw",)))
    if options.optimize == "size":
        drafts = _drafts(graph, options)
        return drafts, Buffers(graph, drafts, options.decode)
    without = Buffers(graph, plain, options.decode)
    if options.codecs == ("raw",):
        return plain, without
    rooms = {
        item.op.name: without.room_bytes(index) if options.decode == "inference" else 0
        for index, item in enumerate(plain)
    }
    drafts = plain
    for codecs in _subsets(options.codecs):
        coded = _drafts(graph, replace(options, codecs=codecs), rooms)
        candidate = tuple(
            there if there.draft.scratch_bytes <= here.draft.scratch_bytes else here
            for here, there in zip(plain, coded, strict=True)
        )
        drafts = min(drafts, candidate, key=_flash_bytes)
    buffers = Buffers(graph, drafts, options.decode)
    if buffers.plan.arena_bytes > without.plan.arena_bytes:
        return plain, without
    return drafts, buffers


def _subsets(codecs: tuple[Codec, ...]) -> Iterator[tuple[Codec, ...]]:
    """Yield raw with every choice of the other codecs, the fewest first."""
    others = [codec for codec in codecs if codec != "raw"]
    for count in range(1, len(others) + 1):
        for chosen in combinations(others, count):
            yield ("raw", *chosen)


def _flash_bytes(drafts: tuple[Lowered, ...]) -> int:
    """Return the flash of all weights and of what decodes them."""
    total = 0
    used: set[str] = set()
    for item in drafts:
        coded = [field.coded.codec for field in item.draft.fields if field.coded is not None]
        used.update(coded)
        total += sum(field.array.nbytes for field in item.draft.fields)
        total += cost.decoding_bytes(len(coded))
    return total + sum(cost.DECODER_BYTES[codec] for codec in used)


def _drafts(
    graph: Graph, options: Options, rooms: Mapping[str, int] | None = None
) -> tuple[Lowered, ...]:
    """Return the draft of every op that computes, given the free arena bytes beside each."""
    lowered = []
    for op in graph.ops:
        room = (rooms or {}).get(op.name, 0)
        draft = rule_of(op).lower(op, graph, replace(options, room_bytes=room))
        if draft is not None:
            lowered.append(Lowered(op, draft))
    return tuple(lowered)
