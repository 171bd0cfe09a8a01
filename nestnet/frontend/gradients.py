"""Find the parameters that a module keeps from training with ``detach``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import fx

from nestnet.frontend.problems import place
from nestnet.frontend.replay import Program, operator_name


@dataclass(frozen=True)
class Detached:
    """What lies upstream of the detached activations of a graph."""

    frozen: frozenset[str]
    """Parameters that no gradient reaches any other way."""
    partly: frozenset[str]
    """Parameters that a gradient reaches another way too: a nested network, in which nothing is
    detached, gives them more gradient than the module does."""
    places: tuple[str, ...]
    """Where the module detaches."""


def detached(program: Program) -> Detached:
    """Return which of the parameters that the output depends on lie behind a ``detach``."""
    cuts = [node for node in program.nodes if operator_name(node).rstrip("_") == "detach"]
    behind = _parameters(program, (argument for cut in cuts for argument in cut.all_input_nodes))
    if not behind:
        return Detached(frozenset(), frozenset(), ())
    reached = _parameters(program, [program.output], stop=frozenset(cuts))
    return Detached(
        frozenset(behind - reached),
        frozenset(behind & reached),
        tuple(dict.fromkeys(place(cut) for cut in cuts)),
    )


def _parameters(
    program: Program, start: Iterable[fx.Node], stop: frozenset[fx.Node] = frozenset()
) -> set[str]:
    """Return the names of the parameters upstream of ``start``, not looking beyond ``stop``."""
    seen: set[fx.Node] = set()
    work = list(start)
    while work:
        node = work.pop()
        if node not in seen and node not in stop:
            seen.add(node)
            work.extend(node.all_input_nodes)
    return {program.names[node.name] for node in seen if node.name in program.names}
