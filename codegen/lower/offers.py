"""Ask every kernel in which ways it computes each op."""

from __future__ import annotations

from dataclasses import replace

from codegen import kernels
from codegen.errors import UserError
from codegen.graph.ir import Graph, Op
from codegen.lower.state import State
from codegen.program.draft import Candidate
from codegen.target.target import Target


def offer_kernels(state: State) -> State:
    """Return ``state`` with every way to compute each op that is no view.

    Raises:
        UserError: no kernel takes an op.
    """
    graph = state.graph
    offers = {op.name: offered(op, graph, state.target) for op in graph.ops if not op.is_view}
    return replace(state, offers=offers)


def offered(op: Op, graph: Graph, target: Target) -> tuple[Candidate, ...]:
    """Return every way to compute ``op``.

    Raises:
        UserError: no kernel takes it.
    """
    found = tuple(kernels.candidates(op, graph, target))
    if not found:
        raise UserError(
            f"network {graph.name}, op {op.name}",
            "no kernel computes it",
            got=type(op).__name__,
            expected="an operator that a file of codegen/kernels takes",
            action="Export the network again; if that does not help, report this message",
        )
    return found
