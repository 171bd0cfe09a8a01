"""All steps of lowering, in order: the one list that says how a graph becomes a program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from codegen.graph.ir import Graph
from codegen.lower import verifiers
from codegen.lower.calls import make_calls
from codegen.lower.image import lay_out_image
from codegen.lower.join import join_parts
from codegen.lower.memory import plan_memory
from codegen.lower.offers import offer_kernels
from codegen.lower.state import State
from codegen.lower.storage_choice import choose_storage
from codegen.passes.flatten_pointwise import flatten_pointwise
from codegen.passes.fold_reshape import fold_reshape
from codegen.passes.skip_dead_channels import skip_dead_channels
from codegen.passes.use_cmsis_nn import use_cmsis_nn
from codegen.target.target import Kernels


@dataclass(frozen=True)
class Step:
    """One step and what must hold after it."""

    name: str
    run: Callable[[State], State]
    verify: Callable[[State, str], None]
    """Takes the step's name for its message; raises VerifyError."""


def on_graph(rewrite: Callable[[Graph], Graph], only_for: Kernels | None = None) -> Step:
    """Return the step that rewrites the graph by a pass, where ``only_for`` are the kernels."""

    def run(state: State) -> State:
        if only_for not in (None, state.target.kernels):
            return state
        return replace(state, graph=rewrite(state.graph))

    return Step(rewrite.__name__, run, verifiers.verify_graph)


def making(part: Callable[[State], State], rules: verifiers.Rules) -> Step:
    """Return the step that makes one part of the program."""
    return Step(part.__name__, part, verifiers.raising(rules))


STEPS: tuple[Step, ...] = (
    on_graph(skip_dead_channels),
    on_graph(use_cmsis_nn, only_for="cmsis-nn"),
    on_graph(fold_reshape),
    Step(join_parts.__name__, join_parts, verifiers.verify_graph),
    on_graph(flatten_pointwise),
    on_graph(fold_reshape),
    making(offer_kernels, verifiers.offers),
    making(choose_storage, verifiers.layers),
    making(plan_memory, verifiers.memory),
    making(lay_out_image, verifiers.image),
    making(make_calls, verifiers.calls),
)
