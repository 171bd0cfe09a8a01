"""Choose how each op is computed: which kernel, and how its weights are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import combinations

from codegen.formats.codecs import BY_NAME, admitted
from codegen.formats.storage import decoding_bytes
from codegen.graph.cmsis_nn import obstacle
from codegen.graph.ir import Op, TfliteRequant
from codegen.graph.weighted import Weighted
from codegen.lower.buffers import Buffers, Lowered
from codegen.lower.state import State
from codegen.program.draft import Candidate, Draft
from codegen.target.target import Optimize

BALANCED_SHARE = 0.05
"""Modelled cycles at the densest level, over the fastest storage's, that ``balanced`` gives up."""

Choice = Callable[[frozenset[str], Mapping[str, int]], tuple[Lowered, ...]]
"""Chooses for all ops, given the codecs beside raw and the free arena bytes beside each op."""


def choose_storage(state: State) -> State:
    """Return ``state`` with one of the offers for each op.

    But for size, coding never makes the arena larger, and a codec is used only where the network
    gains more than its decoder takes.
    """
    target, graph = state.target, state.graph
    choice = _choice(state)
    usable = frozenset(codec.name for codec in admitted(target.codecs))
    if target.optimize == "size":
        return replace(state, layers=choice(usable, {}))
    plain = choice(frozenset(), {})
    if target.codecs == "raw":
        return replace(state, layers=plain)
    without = Buffers(graph, plain, target.decode)
    rooms = {
        item.op.name: without.room_bytes(index) if target.decode == "inference" else 0
        for index, item in enumerate(plain)
    }
    layers = plain
    for codecs in _subsets(target.codecs):
        candidate = tuple(
            there if there.draft.scratch_bytes <= here.draft.scratch_bytes else here
            for here, there in zip(plain, choice(codecs, rooms), strict=True)
        )
        layers = min(layers, candidate, key=_flash_bytes)
    arena_bytes = Buffers(graph, layers, target.decode).plan.arena_bytes
    return replace(state, layers=plain if arena_bytes > without.plan.arena_bytes else layers)


def choose(
    candidates: Iterable[Candidate], optimize: Optimize, room_bytes: int = 0
) -> tuple[Candidate, str]:
    """Return the best candidate under ``optimize`` and why it is, for the report.

    - size: the fewest bytes of weights and positions, of equals the fewest cycles;
    - speed: the fewest cycles, of equals the fewest bytes;
    - balanced: the fewest bytes among those within :data:`BALANCED_SHARE` of the fastest, with what
      it takes to decode them.

    But for size, what is decoded must fit ``room_bytes``, which the arena has free in one piece
    while the layer runs.
    """
    offered = list(candidates)
    fastest = min(item.cycles for item in offered)

    def rank(item: Candidate) -> tuple[float, ...]:
        if optimize == "size":
            return item.stored_bytes, item.cycles
        is_too_large = item.area_bytes > room_bytes
        if optimize == "speed":
            return is_too_large, item.cycles, item.stored_bytes
        is_too_slow = item.cycles > (1 + BALANCED_SHARE) * fastest
        flash_bytes = item.stored_bytes + item.decoding_bytes
        return is_too_large or is_too_slow, flash_bytes, item.cycles

    best, *others = sorted(offered, key=rank)
    reason = f"{best.why}: {best.facts}" if best.facts else best.why
    return best, reason + (f"; next {others[0].facts}" if others else "")


def _choice(state: State) -> Choice:
    @cache
    def draft(candidate: Candidate) -> Draft:
        return candidate.draft()

    def choice(codecs: frozenset[str], rooms: Mapping[str, int]) -> tuple[Lowered, ...]:
        chosen = []
        for op in state.graph.ops:
            if op.is_view:
                continue
            offered = [item for item in state.offers[op.name] if item.codecs <= codecs]
            best, reason = choose(offered, state.target.optimize, rooms.get(op.name, 0))
            reason += _kept_from_cmsis_nn(op, state)
            chosen.append(Lowered(op, best, reason, draft(best)))
        return tuple(chosen)

    return choice


def _subsets(word: str) -> Iterator[frozenset[str]]:
    """Yield every choice of codecs that have to be decoded, the fewest first."""
    others = [codec.name for codec in admitted(word) if codec.decoder_bytes]
    for count in range(1, len(others) + 1):
        yield from map(frozenset, combinations(others, count))


def _flash_bytes(layers: tuple[Lowered, ...]) -> int:
    """Return the flash of all weights and of what decodes them."""
    total = 0
    used: set[str] = set()
    for item in layers:
        contents = item.draft.contents
        coded = [content.coded.codec for content in contents if content.coded is not None]
        used.update(coded)
        total += sum(content.array.nbytes for content in contents)
        total += decoding_bytes(len(coded))
    return total + sum(BY_NAME[codec].decoder_bytes for codec in used)


def _kept_from_cmsis_nn(op: Op, state: State) -> str:
    """Return why CMSIS-NN, if it is asked for, does not compute a layer with weights."""
    if state.target.kernels != "cmsis-nn" or not isinstance(op, Weighted):
        return ""
    if isinstance(op.requant, TfliteRequant):
        return ""
    why = obstacle(op, state.graph.value(op.input).shape) or "its tables have no TFLite form"
    return f"; not for CMSIS-NN: {why}"
