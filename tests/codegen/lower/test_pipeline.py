"""Every step of lowering is verified: what breaks after it is named, with layer, rule and value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.verify import VerifyError
from codegen.lower import lowering
from codegen.lower.lowering import lower
from codegen.lower.pipeline import STEPS, Step
from codegen.lower.plan_memory import plan
from codegen.lower.state import State
from codegen.program.draft import Draft
from codegen.target.target import resolve

SAME = (1, 1, 1, 1)


def network() -> Graph:
    """Return a network with coded streams, a residual, scratch, a view and a pool."""
    net = GraphBuilder((7, 5, 3), 3, 11)
    stem = net.conv("input", 11, (3, 3), padding=SAME, group=1, densities=(0.1, 0.2, 0.4))
    net.conv(stem, 11, (3, 3), padding=SAME, group=1, densities=(0.1, 0.3, 0.5), residual=stem)
    net.pool(net.last, MaxPool, (7, 5), (1, 1))
    net.reshape(net.last, (1, 1, 11))
    net.linear(net.last, 5, group=1, densities=(0.2, 0.4, 0.6))
    return net.graph()


def lower_broken(
    monkeypatch: pytest.MonkeyPatch, name: str, corrupt: Callable[[State], State], **said: Any
) -> VerifyError:
    """Return what is raised if ``corrupt`` goes over what the last step called ``name`` made."""

    def broken(step: Step) -> Step:
        return replace(step, run=lambda state: corrupt(step.run(state)))

    position = max(index for index, step in enumerate(STEPS) if step.name == name)
    steps = tuple(broken(step) if at == position else step for at, step in enumerate(STEPS))
    monkeypatch.setattr(lowering, "STEPS", steps)
    with pytest.raises(VerifyError) as caught:
        lower(network(), resolve("host", **said))
    assert caught.value.pass_name == name
    assert f"after {name}, {caught.value.node}: broken rule; got" in str(caught.value)
    return caught.value


def draft_of(index: int, **changes: Any) -> Callable[[State], State]:
    """Return a step that changes the draft of layer ``index``."""

    def change(state: State) -> State:
        layers = list(state.layers)
        draft = replace(layers[index].draft, **changes)
        layers[index] = replace(layers[index], draft=draft)
        return replace(state, layers=tuple(layers))

    return change


def contents_of(index: int, edit: Callable[[Draft], tuple[Any, ...]]) -> Callable[[State], State]:
    """Return a step that replaces the members of layer ``index``."""
    return lambda state: draft_of(index, contents=edit(state.layers[index].draft))(state)


def offers_without(name: str) -> Callable[[State], State]:
    def change(state: State) -> State:
        kept = {key: item for key, item in state.offers.items() if key != name}
        return replace(state, offers=kept)

    return change


def offers_of(name: str, **changes: Any) -> Callable[[State], State]:
    def change(state: State) -> State:
        changed = tuple(replace(item, **changes) for item in state.offers[name])
        return replace(state, offers={**state.offers, name: changed})

    return change


OFFERS = [
    (offers_without("pool2"), "list", "an offer for each op"),
    (offers_of("pool2", kernel="magic"), "layer pool2", "a kernel of codegen/kernels"),
    (offers_of("conv0", cycles=-1), "layer conv0", "not negative"),
    (offers_of("conv0", codecs=frozenset({"lz4"})), "layer conv0", "no decoder"),
    (offers_of("conv0", area_bytes=8), "layer conv0", "an area if and only if"),
]


@pytest.mark.parametrize(("corrupt", "node", "rule"), OFFERS)
def test_offers(
    monkeypatch: pytest.MonkeyPatch, corrupt: Callable[[State], State], node: str, rule: str
) -> None:
    found = lower_broken(monkeypatch, "offer_kernels", corrupt)
    assert node in found.node and rule in found.rule


def dropped(state: State) -> State:
    return replace(state, layers=state.layers[:-1])


def twice(state: State) -> State:
    return replace(state, layers=(*state.layers, state.layers[-1]))


def swapped_arguments(state: State) -> State:
    first, second = (state.layers[index].draft.args for index in (0, 3))
    return draft_of(3, args=first)(draft_of(0, args=second)(state))


def other_kernel(state: State) -> State:
    return replace(state, layers=(replace(state.layers[0], kernel="add"), *state.layers[1:]))


def first_twice(draft: Draft) -> tuple[Any, ...]:
    return (*draft.contents, draft.contents[0])


def without_level(draft: Draft) -> tuple[Any, ...]:
    return tuple(content for content in draft.contents if content.level != 1)


def far_aligned(draft: Draft) -> tuple[Any, ...]:
    return tuple(replace(content, align_bytes=8) for content in draft.contents)


LAYERS = [
    (dropped, "layer list", "each op that is no view once, in order"),
    (twice, "layer list", "each op that is no view once, in order"),
    (swapped_arguments, "layer conv0", "arguments for 105 input elements"),
    (other_kernel, "layer conv0", "a kernel that was offered"),
    (draft_of(1, levels=()), "layer conv1", "costs of 3 levels"),
    (draft_of(1, scratch_bytes=-8), "layer conv1", "scratch bytes"),
    (draft_of(1, decoded_bytes=1), "layer conv1", "a decoded area that ends"),
    (contents_of(1, first_twice), "layer conv1", "each role once"),
    (contents_of(1, without_level), "layer conv1", r"positions at levels [0, 1, 2]"),
    (contents_of(1, far_aligned), "layer conv1", "aligned to 1, 2 or 4"),
]


@pytest.mark.parametrize(("corrupt", "node", "rule"), LAYERS)
def test_layers(
    monkeypatch: pytest.MonkeyPatch, corrupt: Callable[[State], State], node: str, rule: str
) -> None:
    found = lower_broken(monkeypatch, "choose_storage", corrupt)
    assert node == found.node and rule in found.rule


def decoded_moved(draft: Draft) -> tuple[Any, ...]:
    return tuple(
        replace(content, coded=replace(content.coded, offset_bytes=0)) if content.coded else content
        for content in draft.contents
    )


def test_decoded_streams_lie_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    corrupt = contents_of(1, decoded_moved)
    found = lower_broken(monkeypatch, "choose_storage", corrupt, optimize="size")
    assert found.node == "layer conv1" and "decoded" in found.rule


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


MEMORY = [
    (moved("value0", 4), "on a multiple of 8"),
    (moved("value0", 1 << 20), "inside"),
    (onto("value0", "conv1.scratch"), "no byte shared with"),
    (forgotten("value0"), "a place in the arena"),
    (small_arena, "no less than any layer needs"),
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
        state.buffers.areas, state.buffers.requests = [], []
        return moved("conv1.decoded", state.buffers.plan.offset_bytes["conv1.scratch"])(state)

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


IMAGE = [
    (image_without_last, "in the image once"),
    (member_of_image(array=np.zeros(3, np.int16)), "in the image once"),
    (member_of_image(name="9"), "C names of their own"),
    (image_reversed, "where the last member ends"),
    (member_of_image(offset_bytes=2), "where the last member ends, at 0"),
    (flipped_byte, "little endian"),
    (longer, "zeros after the last member"),
]


@pytest.mark.parametrize(("corrupt", "rule"), IMAGE)
def test_image(
    monkeypatch: pytest.MonkeyPatch, corrupt: Callable[[State], State], rule: str
) -> None:
    assert rule in lower_broken(monkeypatch, "lay_out_image", corrupt).rule


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


CALLS = [
    (lambda state: replace(state, calls=state.calls[1:]), "list", "a call per layer, in order"),
    (call_of(0, index=7), "conv0", "index 0"),
    (call_of(0, kernel="add"), "conv0", "the op, kernel and arguments"),
    (call_of(0, members={}), "conv0", "in one call"),
    (call_of(0, streams=()), "conv0", "in one call"),
    (call_of(0, c_name="layer_01_conv1"), "conv0", "a C name of its own"),
    (call_of(0, scratch=None), "conv0", "a work area"),
    (other_input, "conv1", "a buffer of"),
    (shifted_output, "conv1", "as they were written"),
]


@pytest.mark.parametrize(("corrupt", "node", "rule"), CALLS)
def test_calls(
    monkeypatch: pytest.MonkeyPatch, corrupt: Callable[[State], State], node: str, rule: str
) -> None:
    found = lower_broken(monkeypatch, "make_calls", corrupt)
    assert node in found.node and rule in found.rule


def renamed_output(state: State) -> State:
    return replace(state, graph=replace(state.graph, outputs=("nowhere",)))


@pytest.mark.parametrize("name", ["skip_dead_channels", "fold_reshape", "flatten_pointwise"])
def test_passes(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert lower_broken(monkeypatch, name, renamed_output).value == "nowhere"


def test_the_pass_for_cmsis_nn(monkeypatch: pytest.MonkeyPatch) -> None:
    found = lower_broken(monkeypatch, "use_cmsis_nn", renamed_output, kernels="cmsis-nn")
    assert found.value == "nowhere"


def test_every_step_has_a_name_of_its_own_but_the_one_that_runs_twice() -> None:
    names = [step.name for step in STEPS]
    assert [name for name in names if names.count(name) > 1] == ["fold_reshape"] * 2
