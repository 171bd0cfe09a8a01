"""Lower every op of a graph, with the storage of weights that suits the network as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from codegen import kernels
from codegen.errors import UserError
from codegen.formats.storage import ALLOWED, Codec
from codegen.graph.cmsis_nn import obstacle
from codegen.graph.ir import Graph, Op, TfliteRequant
from codegen.graph.weighted import Weighted
from codegen.kernels.common import cost
from codegen.lower.buffers import Buffers, Lowered
from codegen.lower.storage_choice import choose
from codegen.program.draft import Candidate
from codegen.target.target import Target


def choose_drafts(graph: Graph, target: Target) -> tuple[tuple[Lowered, ...], Buffers]:
    """Return every layer's draft, and the arena.

    But for size, coding never makes the arena larger, and a codec is used only where the network
    gains more than its decoder takes.
    """
    offers = _offers(graph, target)
    admitted = frozenset(ALLOWED[target.codecs])
    if target.optimize == "size":
        drafts = _drafts(graph, target, offers, admitted)
        return drafts, Buffers(graph, drafts, target.decode)
    plain = _drafts(graph, target, offers, frozenset())
    without = Buffers(graph, plain, target.decode)
    if target.codecs == "raw":
        return plain, without
    rooms = {
        item.op.name: without.room_bytes(index) if target.decode == "inference" else 0
        for index, item in enumerate(plain)
    }
    drafts = plain
    for codecs in _subsets(ALLOWED[target.codecs]):
        coded = _drafts(graph, target, offers, codecs, rooms)
        candidate = tuple(
            there if there.draft.scratch_bytes <= here.draft.scratch_bytes else here
            for here, there in zip(plain, coded, strict=True)
        )
        drafts = min(drafts, candidate, key=_flash_bytes)
    buffers = Buffers(graph, drafts, target.decode)
    if buffers.plan.arena_bytes > without.plan.arena_bytes:
        return plain, without
    return drafts, buffers


def _subsets(codecs: Sequence[Codec]) -> Iterator[frozenset[Codec]]:
    """Yield every choice of codecs that have to be decoded, the fewest first."""
    others = [codec for codec in codecs if codec != "raw"]
    for count in range(1, len(others) + 1):
        yield from map(frozenset, combinations(others, count))


def _flash_bytes(drafts: tuple[Lowered, ...]) -> int:
    """Return the flash of all weights and of what decodes them."""
    total = 0
    used: set[str] = set()
    for item in drafts:
        contents = item.draft.contents
        coded = [content.coded.codec for content in contents if content.coded is not None]
        used.update(coded)
        total += sum(content.array.nbytes for content in contents)
        total += cost.decoding_bytes(len(coded))
    return total + sum(cost.DECODER_BYTES[codec] for codec in used)


def _offers(graph: Graph, target: Target) -> dict[str, tuple[Candidate, ...]]:
    """Return every way to compute each op that is no view, by its name.

    Raises:
        UserError: no kernel takes an op.
    """
    offers = {}
    for op in graph.ops:
        if op.is_view:
            continue
        offers[op.name] = tuple(kernels.candidates(op, graph, target))
        if not offers[op.name]:
            raise UserError(
                f"network {graph.name}, op {op.name}",
                "no kernel computes it",
                got=type(op).__name__,
                expected="an operator that a file of codegen/kernels takes",
                action="Export the network again; if that does not help, report this message",
            )
    return offers


def _drafts(
    graph: Graph,
    target: Target,
    offers: Mapping[str, Sequence[Candidate]],
    codecs: frozenset[Codec],
    rooms: Mapping[str, int] | None = None,
) -> tuple[Lowered, ...]:
    """Return the draft of every op that computes.

    Args:
        graph: the network.
        target: what it is lowered for.
        offers: all ways to compute each op.
        codecs: those that may be used beside raw.
        rooms: free arena bytes beside each op; default: none.
    """
    lowered = []
    for op in graph.ops:
        if op.is_view:
            continue
        offered = [item for item in offers[op.name] if item.codecs <= codecs]
        best, reason = choose(offered, target.optimize, (rooms or {}).get(op.name, 0))
        reason += _kept_from_cmsis_nn(op, graph, target)
        lowered.append(Lowered(op, best.kernel, reason, best.draft()))
    return tuple(lowered)


def _kept_from_cmsis_nn(op: Op, graph: Graph, target: Target) -> str:
    """Return why CMSIS-NN, if it is asked for, does not compute a layer with weights."""
    if target.kernels != "cmsis-nn" or not isinstance(op, Weighted):
        return ""
    if isinstance(op.requant, TfliteRequant):
        return ""
    why = obstacle(op, graph.value(op.input).shape) or "its tables have no TFLite form"
    return f"; not for CMSIS-NN: {why}"
