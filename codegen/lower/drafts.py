"""Lower every op of a graph, with the storage of weights that suits the network as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations

from codegen import kernels
from codegen.errors import UserError
from codegen.formats.storage import Codec
from codegen.graph.cmsis_nn import obstacle
from codegen.graph.ir import Graph, Op, TfliteRequant
from codegen.graph.weighted import Weighted
from codegen.kernels.common import cost
from codegen.lower.buffers import Buffers, Lowered
from codegen.lower.storage_choice import choose
from codegen.program.draft import Options


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
        contents = item.draft.contents
        coded = [content.coded.codec for content in contents if content.coded is not None]
        used.update(coded)
        total += sum(content.array.nbytes for content in contents)
        total += cost.decoding_bytes(len(coded))
    return total + sum(cost.DECODER_BYTES[codec] for codec in used)


def _drafts(
    graph: Graph, options: Options, rooms: Mapping[str, int] | None = None
) -> tuple[Lowered, ...]:
    """Return the draft of every op that computes, given the free arena bytes beside each.

    Raises:
        UserError: no kernel takes an op.
    """
    lowered = []
    for op in graph.ops:
        if op.is_view:
            continue
        allowed = replace(options, room_bytes=(rooms or {}).get(op.name, 0))
        offered = tuple(kernels.candidates(op, graph, allowed))
        if not offered:
            raise UserError(
                f"network {graph.name}, op {op.name}",
                "no kernel computes it",
                got=type(op).__name__,
                expected="an operator that a file of codegen/kernels takes",
                action="Export the network again; if that does not help, report this message",
            )
        best, reason = choose(offered, allowed)
        reason += _kept_from_cmsis_nn(op, graph, options)
        lowered.append(Lowered(op, best.kernel, reason, best.draft()))
    return tuple(lowered)


def _kept_from_cmsis_nn(op: Op, graph: Graph, options: Options) -> str:
    """Return why CMSIS-NN, if it is asked for, does not compute a layer with weights."""
    if options.kernels != "cmsis-nn" or not isinstance(op, Weighted):
        return ""
    if isinstance(op.requant, TfliteRequant):
        return ""
    why = obstacle(op, graph.value(op.input).shape) or "its tables have no TFLite form"
    return f"; not for CMSIS-NN: {why}"
