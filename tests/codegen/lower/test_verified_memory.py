"""The plan of the arena is verified: what reads another's bytes is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from codegen.lower.plan_memory import plan
from codegen.lower.state import State
from tests.support.broken_lowering import lower_broken


def moved(name: str, offset_bytes: int) -> Callable[[State], State]:
    """Return a step that puts a buffer elsewhere."""

    def change(state: State) -> State:
        assert state.buffers is not None
        state.buffers.plan.offset_bytes[name] = offset_bytes
        return state

    return change


def onto(name: str, other: str) -> Callable[[State], State]:
    """Return a step that puts a buffer one place above another's begin."""

    def change(state: State) -> State:
        assert state.buffers is not None
        return moved(name, state.buffers.plan.offset_bytes[other] + 8)(state)

    return change


def forgotten(name: str) -> Callable[[State], State]:
    def change(state: State) -> State:
        assert state.buffers is not None
        del state.buffers.plan.offset_bytes[name]
        return state

    return change


def small_arena(state: State) -> State:
    assert state.buffers is not None
    state.buffers.plan = replace(state.buffers.plan, arena_bytes=8)
    return state


def large_arena(state: State) -> State:
    assert state.buffers is not None
    planned = state.buffers.plan
    state.buffers.plan = replace(planned, arena_bytes=planned.arena_bytes + 8)
    return state


MEMORY = [
    (moved("value0", 4), "on a multiple of 8"),
    (moved("value0", 1 << 20), "inside"),
    (onto("value0", "conv1.scratch"), "no byte shared with"),
    (forgotten("value0"), "a place in the arena"),
    (small_arena, "no less than any layer needs"),
    (large_arena, "the end of the last area"),
]


@pytest.mark.parametrize(("corrupt", "rule"), MEMORY)
def test_memory(
    monkeypatch: pytest.MonkeyPatch, corrupt: Callable[[State], State], rule: str
) -> None:
    found = lower_broken(monkeypatch, "plan_memory", corrupt)
    assert rule in found.rule


@pytest.mark.parametrize("decode", ["inference", "level"])
def test_what_is_decoded_survives(monkeypatch: pytest.MonkeyPatch, decode: str) -> None:
    """An area that another layer writes over; the plan's own requests are not consulted."""

    def share(state: State) -> State:
        assert state.buffers is not None
        offset = state.buffers.plan.offset_bytes["conv1.scratch"]
        state.buffers.areas, state.buffers.requests = [], []
        return moved("conv1.decoded", offset)(state)

    found = lower_broken(monkeypatch, "plan_memory", share, optimize="size", decode=decode)
    assert found.node == "layer conv1"


def test_a_value_read_after_its_last_use_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The requests say nothing wrong; following the layers does."""

    def short_lived(state: State) -> State:
        buffers = state.buffers
        assert buffers is not None
        buffers.requests = [
            replace(item, last=item.first if item.name == "value0" else item.last)
            for item in buffers.requests
        ]
        buffers.plan = plan(buffers.requests, len(state.layers))
        return state

    found = lower_broken(monkeypatch, "plan_memory", short_lived, codecs="raw")
    assert found.node == "layer conv1" and "value0" in found.rule
