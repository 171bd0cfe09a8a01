"""The weight image and the calls are verified, member by member and call by call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from codegen.lower.state import State
from tests.support.broken_lowering import lower_broken


def member_of_image(**changes: Any) -> Callable[[State], State]:
    def change(state: State) -> State:
        assert state.image is not None
        first, *others = state.image.members
        members = (replace(first, **changes), *others)
        return replace(state, image=replace(state.image, members=members))

    return change


def image_without_last(state: State) -> State:
    assert state.image is not None
    return replace(state, image=replace(state.image, members=state.image.members[:-1]))


def image_reversed(state: State) -> State:
    assert state.image is not None
    return replace(state, image=replace(state.image, members=state.image.members[::-1]))


def flipped_byte(state: State) -> State:
    assert state.image is not None
    content = bytes([state.image.content[0] ^ 1]) + state.image.content[1:]
    return replace(state, image=replace(state.image, content=content))


def longer(state: State) -> State:
    assert state.image is not None
    return replace(state, image=replace(state.image, content=state.image.content + bytes(4)))


def uncoded(state: State) -> State:
    assert state.image is not None
    members = tuple(replace(member, coded=None) for member in state.image.members)
    return replace(state, image=replace(state.image, members=members))


def roles_swapped_in_image(state: State) -> State:
    assert state.image is not None
    other = {"bias": "multiplier", "multiplier": "bias"}
    members = tuple(
        replace(member, role=other.get(member.role, member.role)) for member in state.image.members
    )
    return replace(state, image=replace(state.image, members=members))


IMAGE = [
    (image_without_last, "in the image once"),
    (member_of_image(array=np.zeros(3, np.int16)), "in the image once"),
    (member_of_image(name="9"), "C names of their own"),
    (image_reversed, "where the last member ends"),
    (member_of_image(offset_bytes=2), "where the last member ends, at 0"),
    (flipped_byte, "little endian"),
    (longer, "zeros after the last member"),
    (roles_swapped_in_image, "in the image once"),
    (member_of_image(c_type="float"), "of type "),
    (member_of_image(align_bytes=1), "align_bytes of "),
    (member_of_image(by_level=True), "by_level of "),
]


@pytest.mark.parametrize(("corrupt", "rule"), IMAGE)
def test_image(
    monkeypatch: pytest.MonkeyPatch, corrupt: Callable[[State], State], rule: str
) -> None:
    assert rule in lower_broken(monkeypatch, "lay_out_image", corrupt).rule


def test_what_is_coded_is_said_in_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    found = lower_broken(monkeypatch, "lay_out_image", uncoded, optimize="size")
    assert found.rule.startswith("coded of ")


def call_of(at: int, **changes: Any) -> Callable[[State], State]:
    def change(state: State) -> State:
        calls = list(state.calls)
        calls[at] = replace(calls[at], **changes)
        return replace(state, calls=tuple(calls))

    return change


def other_input(state: State) -> State:
    return call_of(1, inputs=(state.calls[0].inputs[0], state.calls[1].inputs[1]))(state)


def shifted_output(state: State) -> State:
    call = state.calls[0]
    return call_of(0, output=replace(call.output, offset_bytes=call.output.offset_bytes + 8))(state)


def roles_swapped(state: State) -> State:
    """Hold the biases as multipliers and the multipliers as biases."""
    members = dict(state.calls[0].members)
    members["bias"], members["multiplier"] = members["multiplier"], members["bias"]
    return call_of(0, members=members)(state)


def role_renamed(state: State) -> State:
    members = {f"my_{role}": member for role, member in state.calls[0].members.items()}
    return call_of(0, members=members)(state)


def streams_swapped(state: State) -> State:
    streams = state.calls[0].streams
    swapped = tuple(
        replace(each, positions=each.weights, weights=each.positions) for each in streams
    )
    return call_of(0, streams=swapped)(state)


def levels_swapped(state: State) -> State:
    """Give the sparsest level the densest one's streams, and the other way round."""
    streams = state.calls[0].streams
    swapped = tuple(
        replace(each, positions=other.positions, weights=other.weights)
        for each, other in zip(streams, streams[::-1], strict=True)
    )
    return call_of(0, streams=swapped)(state)


def member_of_call(**changes: Any) -> Callable[[State], State]:
    """Return a step that changes a member, in the image and in its call."""

    def change(state: State) -> State:
        assert state.image is not None
        old = state.calls[0].members["bias"]
        new = replace(old, **changes)
        members = tuple(new if member is old else member for member in state.image.members)
        state = replace(state, image=replace(state.image, members=members))
        return call_of(0, members={**state.calls[0].members, "bias": new})(state)

    return change


CALLS = [
    (lambda state: replace(state, calls=state.calls[1:]), "list", "a call per layer, in order"),
    (call_of(0, index=7), "conv0", "index 0"),
    (call_of(0, kernel="add"), "conv0", "the op, kernel and arguments"),
    (call_of(0, members={}), "conv0", "in one call"),
    (call_of(0, streams=()), "conv0", "in one call"),
    (call_of(0, c_name="layer_01_conv1"), "conv0", "a C name of its own"),
    (call_of(0, scratch=None), "conv0", "a work area"),
    (role_renamed, "conv0", "members for"),
    (roles_swapped, "conv0", "as the multiplier of conv0"),
    (streams_swapped, "conv0", "as the positions of conv0"),
    (levels_swapped, "conv0", "_positions_0 as the positions of conv0"),
    (member_of_call(name="layer_00_conv0_scale"), "conv0", "as the bias of conv0"),
    (member_of_call(role="multiplier"), "conv0", "as the bias of conv0"),
    (member_of_call(layer="conv1"), "conv0", "as the bias of conv0"),
    (member_of_call(array=np.zeros(11, np.int16)), "conv0", "the elements of"),
    (call_of(0, reason="why not"), "conv0", "the reason, storage and costs"),
    (call_of(0, storage="paper"), "conv0", "the reason, storage and costs"),
    (call_of(0, levels=()), "conv0", "the reason, storage and costs"),
    (call_of(0, in_shape=(7, 3, 5)), "conv0", "the shapes of the graph"),
    (call_of(0, out_shape=(7, 11, 5)), "conv0", "the shapes of the graph"),
    (other_input, "conv1", "a buffer of"),
    (shifted_output, "conv1", "as they were written"),
]


@pytest.mark.parametrize(("corrupt", "node", "rule"), CALLS)
def test_calls(
    monkeypatch: pytest.MonkeyPatch, corrupt: Callable[[State], State], node: str, rule: str
) -> None:
    found = lower_broken(monkeypatch, "make_calls", corrupt)
    assert node in found.node and rule in found.rule
