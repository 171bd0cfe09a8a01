"""Passes are verified: a graph that breaks a rule, or shows its user something else, is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph, TaskRecord
from codegen.graph.sources.quantizer import float_source
from codegen.lower.pipeline import STEPS
from codegen.lower.state import State
from tests.support.broken_lowering import SAME, joined_network, lower_broken, network


def renamed_output(state: State) -> State:
    return replace(state, graph=replace(state.graph, outputs=("nowhere",)))


@pytest.mark.parametrize("name", ["skip_dead_channels", "fold_reshape", "flatten_pointwise"])
def test_passes(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert lower_broken(monkeypatch, name, renamed_output).value == "nowhere"


def test_the_pass_for_cmsis_nn(monkeypatch: pytest.MonkeyPatch) -> None:
    found = lower_broken(monkeypatch, "use_cmsis_nn", renamed_output, kernels="cmsis-nn")
    assert found.value == "nowhere"


def graph_with(**changes: Any) -> Callable[[State], State]:
    return lambda state: replace(state, graph=replace(state.graph, **changes))


def reordered(part: str) -> Callable[[State], State]:
    """Return a step that turns the network's inputs or outputs round."""
    return lambda state: graph_with(**{part: getattr(state.graph, part)[::-1]})(state)


def fewer_outputs(state: State) -> State:
    """Make the last output a value like any other."""
    plain = edge_with(meaning="plain")(state)
    return graph_with(outputs=state.graph.outputs[:-1])(plain)


def other_levels(state: State) -> State:
    levels = tuple(replace(level, sparsity=0.5) for level in state.graph.levels)
    return graph_with(levels=levels)(state)


def other_origin(state: State) -> State:
    return graph_with(provenance=replace(state.graph.provenance, model="another"))(state)


def edge_with(**changes: Any) -> Callable[[State], State]:
    """Return a step that changes the last output's value."""

    def change(state: State) -> State:
        values = tuple(
            replace(value, **changes) if value.name == state.graph.outputs[-1] else value
            for value in state.graph.values
        )
        return graph_with(values=values)(state)

    return change


def input_with(**changes: Any) -> Callable[[State], State]:
    """Return a step that changes the value of the only input."""

    def change(state: State) -> State:
        name = state.graph.only_input.name
        values = (replace(v, **changes) if v.name == name else v for v in state.graph.values)
        return graph_with(values=tuple(values))(state)

    return change


def heard() -> Graph:
    """Return a network that is fed the numbers of a sensor."""
    graph = network()
    source = float_source([1.0] * 3, [0.5] * 3)
    given = replace(graph.only_input, meaning="samples", source=source)
    others = [value for value in graph.values if value.name != given.name]
    return replace(graph, values=(given, *others))


EXPORTED = [
    (joined_network, graph_with(name="another"), "graph", "its name as exported"),
    (joined_network, reordered("inputs"), "graph", "its inputs as exported"),
    (joined_network, reordered("outputs"), "graph", "its outputs as exported"),
    (joined_network, fewer_outputs, "graph", "its outputs as exported"),
    (joined_network, other_levels, "graph", "its levels as exported"),
    (joined_network, other_origin, "graph", "its provenance as exported"),
    (joined_network, graph_with(task=TaskRecord("regression")), "graph", "its task as exported"),
    (network, edge_with(scale=(2.0, 2.0, 2.0)), "value ", "its scale as exported"),
    (network, edge_with(zero_point=101), "value ", "its zero_point as exported"),
    (network, edge_with(meaning="boxes"), "value ", "its meaning as exported"),
    (heard, input_with(source=float_source([0.0] * 3, [0.5] * 3)), "value ",
     "its source as exported"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "corrupt", "node", "rule"), EXPORTED)
@pytest.mark.parametrize("name", ["skip_dead_channels", "fold_reshape", "flatten_pointwise"])
def test_passes_leave_what_a_user_sees(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    make: Callable[[], Graph],
    corrupt: Callable[[State], State],
    node: str,
    rule: str,
) -> None:
    found = lower_broken(monkeypatch, name, corrupt, make)
    assert found.node.startswith(node) and rule in found.rule


def test_passes_leave_the_shape_of_an_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reshape takes any shape of as many elements: no rule of a graph alone is broken."""

    def make() -> Graph:
        net = GraphBuilder((7, 5, 3), 3, 11)
        net.conv("input", 11, (3, 3), padding=SAME, group=1, densities=(0.1, 0.2, 0.4))
        net.reshape(net.last, (7, 1, 55))
        return net.graph()

    found = lower_broken(monkeypatch, "fold_reshape", edge_with(shape=(7, 11, 5)), make)
    assert "its shape as exported" in found.rule


def test_every_step_has_a_name_of_its_own_but_the_one_that_runs_twice() -> None:
    names = [step.name for step in STEPS]
    assert [name for name in names if names.count(name) > 1] == ["fold_reshape"] * 2
