"""Ask every kernel in which ways it computes each op."""

from __future__ import annotations

from dataclasses import replace

from codegen import kernels
from codegen.errors import UserError
from codegen.lower.state import State


def offer_kernels(state: State) -> State:
    """Return ``state`` with every way to compute each op that is no view.

    Raises:
        UserError: no kernel takes an op.
    """
    offers = {}
    for op in state.graph.ops:
        if op.is_view:
            continue
        offers[op.name] = tuple(kernels.candidates(op, state.graph, state.target))
        if not offers[op.name]:
            raise UserError(
                f"network {state.graph.name}, op {op.name}",
                "no kernel computes it",
                got=type(op).__name__,
                expected="an operator that a file of codegen/kernels takes",
                action="Export the network again; if that does not help, report this message",
            )
    return replace(state, offers=offers)
