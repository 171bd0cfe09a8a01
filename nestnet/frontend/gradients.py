"""Find the parameters that a module's forward keeps from training, as with ``detach``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from nestnet.frontend.problems import place
from nestnet.frontend.replay import Program, operator_name
from nestnet.frontend.torch_export import float_clone, quiet


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
    """Return which of the parameters that the outputs depend on lie behind a ``detach``."""
    cuts = [node for node in program.nodes if operator_name(node).rstrip("_") == "detach"]
    behind = _parameters(program, (argument for cut in cuts for argument in cut.all_input_nodes))
    if not behind:
        return Detached(frozenset(), frozenset(), ())
    reached = _parameters(program, program.outputs, stop=frozenset(cuts))
    return Detached(
        frozenset(behind - reached),
        frozenset(behind & reached),
        tuple(dict.fromkeys(place(cut) for cut in cuts)),
    )


def unreached(module: nn.Module, images: Sequence[Tensor]) -> set[str]:
    """Return the parameters of ``module`` that no gradient reaches in either mode, whatever keeps
    it away: torch.inference_mode, unlike detach, leaves nothing in a graph.

    In one mode alone a parameter may be without by chance: stochastic depth.
    """
    found: list[set[str]] = []
    for training in (False, True):
        clone = float_clone(module).train(training)
        named = {name: value for name, value in clone.named_parameters() if value.requires_grad}
        try:
            with quiet(), torch.enable_grad():
                made = clone(*(x.clone() for x in images))
                leaves = [y for y in tree_leaves(made) if isinstance(y, Tensor)]
                outputs = [y for y in leaves if y.requires_grad]
                total = torch.stack([y.sum() for y in outputs]).sum() if outputs else None
                wanted = list(named.values())
                gradients: tuple[Tensor | None, ...] = (None,) * len(wanted)
                if total is not None and wanted:
                    gradients = torch.autograd.grad(total, wanted, allow_unused=True)
        except (Exception, SystemExit):  # the user's code may raise anything; capturing says what
            return set()
        found.append({name for name, g in zip(named, gradients, strict=True) if g is None})
    return found[0] & found[1]


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
