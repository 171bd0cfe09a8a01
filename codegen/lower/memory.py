"""Plan the arena."""

from __future__ import annotations

from dataclasses import replace

from codegen.lower.buffers import Buffers
from codegen.lower.state import State


def plan_memory(state: State) -> State:
    """Return ``state`` with a place for every value and work area."""
    return replace(state, buffers=Buffers(state.graph, state.layers, state.target.decode))
