"""Decide which convolutions join their maps as they read them, by the arena that comes of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from codegen.graph.ir import Graph, Op, Shape
from codegen.lower.buffers import Buffers, Lowered
from codegen.lower.offers import offered
from codegen.lower.state import State
from codegen.lower.storage_choice import choose
from codegen.passes.flatten_pointwise import flatten_pointwise
from codegen.passes.fold_reshape import fold_reshape
from codegen.passes.join_parts import joinable, joined

Cost = tuple[int, int]
"""Bytes of the arena; modelled cycles at the densest level."""


def join_parts(state: State) -> State:
    """Return ``state`` with some convolutions reading the parts of their maps.

    Chosen are those with which the arena is smallest and, of equals, the network fastest: a map
    that is never made takes no RAM, but what it is made of lives longer. Where the network is to be
    fast, none that makes it slower. It is a search from all or none, one convolution at a time.
    """
    names = joinable(state.graph)
    if not names:
        return state
    trials = _Trials(state)
    chosen = min(frozenset[str](), frozenset(names), key=trials.rank)
    before = None
    while before != chosen:
        before = chosen
        for name in names:
            chosen = min(chosen, chosen ^ {name}, key=trials.rank)
    return replace(state, graph=joined(state.graph, chosen)) if chosen else state


class _Trials:
    """Networks planned for their cost alone."""

    def __init__(self, state: State) -> None:
        self.graph = state.graph
        self.target = replace(state.target, codecs="raw")
        self.layers: dict[tuple[str, type[Op], Shape], Lowered] = {}
        """By name, kind and output: the passes between change no more of an op."""
        self.costs: dict[frozenset[str], Cost] = {}

    def rank(self, names: frozenset[str]) -> tuple[bool, Cost]:
        """Return a key that is least for the best choice of convolutions."""
        slower = self.cost(names)[1] > self.cost(frozenset())[1]
        return slower and self.target.optimize == "speed", self.cost(names)

    def cost(self, names: frozenset[str]) -> Cost:
        """Return what the network costs where the convolutions ``names`` join their maps."""
        if names not in self.costs:
            self.costs[names] = self._planned(names)
        return self.costs[names]

    def _planned(self, names: Collection[str]) -> Cost:
        graph = fold_reshape(flatten_pointwise(joined(self.graph, names)))
        layers = tuple(self._layer(op, graph) for op in graph.ops if not op.is_view)
        plan = Buffers(graph, layers, self.target.decode).plan
        return plan.arena_bytes, sum(item.draft.levels[-1].cycles for item in layers)

    def _layer(self, op: Op, graph: Graph) -> Lowered:
        key = (op.name, type(op), graph.value(op.output).shape)
        if key not in self.layers:
            offers = offered(op, graph, self.target)
            offer, reason = choose(offers, self.target.optimize)
            self.layers[key] = Lowered(op, offer, reason, offer.draft())
        return replace(self.layers[key], op=op)
