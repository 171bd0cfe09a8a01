"""Decide which convolutions join their maps as they read them, by the arena that comes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from codegen.graph.ir import Graph, Op, Shape
from codegen.lower.buffers import Buffers, Lowered
from codegen.lower.offers import offered
from codegen.lower.plan_memory import fewest_bytes, plan
from codegen.lower.state import State
from codegen.lower.storage_choice import choose
from codegen.passes.flatten_pointwise import flatten_pointwise
from codegen.passes.fold_reshape import fold_reshape
from codegen.passes.join_parts import joinable, joined

FEW_ROUNDS = 10
"""Orders tried per plan while choices are compared."""

Rank = tuple[bool, int, int]
"""Whether it is slower than may be; bytes of the arena; modelled cycles at the densest level."""


def join_parts(state: State) -> State:
    """Return ``state`` with some convolutions reading the parts of their maps.

    Chosen are those with which the arena is smallest and, of equals, the network fastest: a map
    that is never made takes no RAM, but what it is made of lives longer. Where the network is to be
    fast, none that makes it slower. It is a search from all or none, one convolution at a time, by
    arenas planned in few rounds; what it finds is planned in full beside all and none.
    """
    names = joinable(state.graph)
    if not names:
        return state
    trials = _Trials(state)
    ends = frozenset[str](), frozenset(names)
    found, before = min(ends, key=trials.roughly), None
    while before != found:
        before = found
        for name in names:
            other = found ^ {name}
            if trials.at_best(other) < trials.roughly(found):
                found = min(found, other, key=trials.roughly)
    chosen = min(*ends, found, key=trials.rank)
    return replace(state, graph=joined(state.graph, chosen)) if chosen else state


@dataclass(frozen=True, eq=False)
class _Trial:
    """A network with some convolutions joining their maps."""

    buffers: Buffers
    layers: int
    cycles: int
    """Modelled, at the densest level."""

    @cached_property
    def rough_bytes(self) -> int:
        """Return what the arena takes if few plans are tried."""
        return plan(self.buffers.requests, self.layers, FEW_ROUNDS).arena_bytes

    @cached_property
    def least_bytes(self) -> int:
        """Return what no plan's arena is smaller than."""
        return max(fewest_bytes(self.buffers.requests, self.layers), default=0)


class _Trials:
    """Networks lowered for their cost alone; what is least is the best choice of convolutions."""

    def __init__(self, state: State) -> None:
        self.graph = state.graph
        self.target = replace(state.target, codecs="raw")
        self.layers: dict[tuple[str, type[Op], Shape], Lowered] = {}
        """By name, kind and output: the passes between change no more of an op."""
        self.known: dict[frozenset[str], _Trial] = {}

    def rank(self, names: frozenset[str]) -> Rank:
        """Return the rank of a choice of convolutions."""
        return self._rank(names, self._trial(names).buffers.plan.arena_bytes)

    def roughly(self, names: frozenset[str]) -> Rank:
        """Return a rank that is not better."""
        return self._rank(names, self._trial(names).rough_bytes)

    def at_best(self, names: frozenset[str]) -> Rank:
        """Return a rank that is not worse."""
        return self._rank(names, self._trial(names).least_bytes)

    def _rank(self, names: frozenset[str], arena_bytes: int) -> Rank:
        cycles = self._trial(names).cycles
        slower = cycles > self._trial(frozenset()).cycles
        return slower and self.target.optimize == "speed", arena_bytes, cycles

    def _trial(self, names: frozenset[str]) -> _Trial:
        if names not in self.known:
            graph = fold_reshape(flatten_pointwise(joined(self.graph, names)))
            layers = tuple(self._layer(op, graph) for op in graph.ops if not op.is_view)
            buffers = Buffers(graph, layers, self.target.decode)
            cycles = sum(item.draft.levels[-1].cycles for item in layers)
            self.known[names] = _Trial(buffers, len(layers), cycles)
        return self.known[names]

    def _layer(self, op: Op, graph: Graph) -> Lowered:
        key = (op.name, type(op), graph.value(op.output).shape)
        if key not in self.layers:
            offers = offered(op, graph, self.target)
            offer, reason = choose(offers, self.target.optimize)
            self.layers[key] = Lowered(op, offer, reason, offer.draft())
        return replace(self.layers[key], op=op)
