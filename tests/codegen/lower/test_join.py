"""Maps are joined where that makes the arena smaller, or the network faster in the same arena."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.joined import JoinedConv
from codegen.lower import buffers, lowering
from codegen.lower.join import join_parts
from codegen.lower.pipeline import STEPS
from codegen.lower.plan_decoded import plan_with_areas
from codegen.lower.plan_memory import Plan
from codegen.lower.state import State
from codegen.passes.join_parts import joinable
from codegen.program.program import Program
from codegen.target.target import resolve
from tests.support.joined_nets import SAME, parts_graph, unet
from tests.support.projects import small_graph


def joining(program: Program) -> list[str]:
    """Return the names of the layers that join their maps."""
    return [layer.name for layer in program.layers if isinstance(layer.op, JoinedConv)]


def made(monkeypatch: pytest.MonkeyPatch, graph: Graph) -> Program:
    """Return ``graph`` lowered with every map in RAM."""
    with monkeypatch.context() as patch:
        patch.setattr(lowering, "STEPS", [step for step in STEPS if step.name != "join_parts"])
        return lowering.lower(graph, resolve("qemu_m4"))


def test_a_u_net_needs_its_skips_and_little_more(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = unet(64, (8, 16, 32, 32))
    after, before = lowering.lower(graph, resolve("qemu_m4")), made(monkeypatch, graph)
    assert before.arena_bytes == 4 * 64 * 64 * 8  # enlarged, joined to the skip
    skips = 64 * 64 * 8 + 32 * 32 * 16 + 16 * 16 * 32
    assert skips < after.arena_bytes < 1.25 * skips
    assert len(joining(after)) == 3
    cycles = [program.levels[-1].cost.cycles for program in (after, before)]
    assert cycles[0] < cycles[1]
    reason = next(layer.reason for layer in after.layers if layer.name == joining(after)[-1])
    assert reason.startswith("its map of 98304 bytes is joined as it is read, levels differ: ")


def slice_of_a_large_map(net: GraphBuilder) -> Graph:
    """Return a layer over which the large map would have to stay: it reads that from its end."""
    large = net.conv("input", 16, (1, 1))
    few = net.rearrange(large, (12, 12, 2), 2115, [(12, -192), (12, 16), (2, 1)])
    net.conv(few, 19, (3, 3), padding=SAME)
    net.linear(net.conv(net.last, 1, (3, 3)), 2)
    return net.graph()


def test_what_joined_maps_are_made_of_may_live_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = slice_of_a_large_map(GraphBuilder((12, 12, 3), 2, 5))
    program = lowering.lower(graph, resolve("qemu_m4"))
    assert joining(program) == []
    assert program.arena_bytes == made(monkeypatch, graph).arena_bytes


@pytest.mark.parametrize("make", [parts_graph, lambda: unet(16, (4, 8, 8)), small_graph])
def test_the_arena_never_grows(make: Callable[[], Graph], monkeypatch: pytest.MonkeyPatch) -> None:
    graph = make()
    after, before = lowering.lower(graph, resolve("qemu_m4")), made(monkeypatch, graph)
    assert after.arena_bytes <= before.arena_bytes
    assert bool(joining(after)) == (make is not small_graph)


def branches(count: int) -> Graph:
    """Return blocks of two branches side by side, each read by one layer."""
    net = GraphBuilder((8, 9, 3), 1, 5)
    net.conv("input", 4, (3, 3), padding=SAME)
    for _ in range(count):
        source = net.last
        parts = [net.conv(source, 4, (1, 1)), net.conv(source, 8, (3, 3), padding=SAME)]
        net.conv(net.concat(parts), 4, (1, 1))
    return net.graph()


def test_the_arena_is_planned_in_full_for_few_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    """One choice for each set of layers would be as many plans as there are layers, or more."""
    planned: list[int] = []

    def counted(*arguments: Any) -> Plan:
        planned.append(1)
        return plan_with_areas(*arguments)

    monkeypatch.setattr(buffers, "plan_with_areas", counted)
    graph = branches(5)
    state = State(source=graph, target=resolve("qemu_m4"), graph=graph)
    assert len(joinable(graph)) == 5
    assert any(isinstance(op, JoinedConv) for op in join_parts(state).graph.ops)
    assert len(planned) <= 3


def test_for_speed_no_cycle_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 1 x 1 layer on a map of 17 columns: joined, it cannot have a map that suits its tiles."""
    net = GraphBuilder((12, 13, 4), 2, 5)
    branch = net.conv("input", 4, (1, 1), relu=False)
    net.conv(net.concat([branch, "input"]), 16, (1, 1), group=4, densities=(0.3, 0.6))
    graph = net.graph()
    small, fast = (
        lowering.lower(graph, resolve("qemu_m4", optimize=word)) for word in ("balanced", "speed")
    )
    assert len(joining(small)) == 1 and joining(fast) == []
    assert small.arena_bytes < fast.arena_bytes
    assert fast.levels[-1].cost.cycles < small.levels[-1].cost.cycles
