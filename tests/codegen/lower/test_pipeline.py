"""Every step of lowering is verified: what breaks after it is named, with layer, rule and value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph, TaskRecord
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.sources.quantizer import float_source
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


def joined_network() -> Graph:
    """Return a network with two inputs, two outputs and a concatenation."""
    net = GraphBuilder((7, 5, 3), 3, 11)
    wide = net.conv("input", 11, (3, 3), padding=SAME, group=1, densities=(0.1, 0.2, 0.4))
    other = net.conv(net.input("other", (7, 5, 2)), 2, (1, 1))
    joined = net.concat((wide, other))
    return net.graph({joined: "map", wide: "map"})


def lower_broken(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    corrupt: Callable[[State], State],
    make: Callable[[], Graph] = network,
    **said: Any,
) -> VerifyError:
    """Return what is raised if ``corrupt`` goes over what the last step called ``name`` made."""

    def broken(step: Step) -> Step:
        return replace(step, run=lambda state: corrupt(step.run(state)))

    position = max(index for index, step in enumerate(STEPS) if step.name == name)
    steps = tuple(broken(step) if at == position else step for at, step in enumerate(STEPS))
    monkeypatch.setattr(lowering, "STEPS", steps)
    with pytest.raises(VerifyError) as caught:
        lower(make(), resolve("host", **said))
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


def offer_of_another(state: State) -> State:
    offer = state.offers["pool2"][0]
    return replace(state, layers=(replace(state.layers[0], offer=offer), *state.layers[1:]))


def other_offer(state: State) -> State:
    """Say that layer 1 is what its last offer draws up, which stores it in another way."""
    first, second, *others = state.layers
    offer = state.offers[second.op.name][-1]
    assert offer is not second.offer
    return replace(state, layers=(first, replace(second, offer=offer), *others))


def arguments_of(index: int, **changes: Any) -> Callable[[State], State]:
    """Return a step that changes a literal argument of layer ``index``."""

    def change(state: State) -> State:
        args: Any = state.layers[index].draft.args
        return draft_of(index, args=replace(args, **changes))(state)

    return change


def narrow(index: int) -> Callable[[State], State]:
    """Return a step that tells layer ``index`` of an input narrower than it is."""

    def change(state: State) -> State:
        args: Any = state.layers[index].draft.args
        return arguments_of(index, shape=replace(args.shape, in_w=1))(state)

    return change


def costs_more(state: State) -> State:
    levels = state.layers[0].draft.levels
    return draft_of(0, levels=tuple(replace(each, cycles=each.cycles + 1) for each in levels))(
        state
    )


def first_twice(draft: Draft) -> tuple[Any, ...]:
    return (*draft.contents, draft.contents[0])


def without_level(draft: Draft) -> tuple[Any, ...]:
    return tuple(content for content in draft.contents if content.level != 1)


def far_aligned(draft: Draft) -> tuple[Any, ...]:
    return tuple(replace(content, align_bytes=8) for content in draft.contents)


def zeroed(draft: Draft) -> tuple[Any, ...]:
    return tuple(replace(content, array=np.zeros_like(content.array)) for content in draft.contents)


def without_bias(draft: Draft) -> tuple[Any, ...]:
    return tuple(content for content in draft.contents if content.role != "bias")


def shared(draft: Draft) -> tuple[Any, ...]:
    return tuple(replace(content, by_level=False) for content in draft.contents)


def all_by_level(draft: Draft) -> tuple[Any, ...]:
    return tuple(replace(content, by_level=True) for content in draft.contents)


LAYERS = [
    (dropped, "layer list", "each op that is no view once, in order"),
    (twice, "layer list", "each op that is no view once, in order"),
    (swapped_arguments, "layer conv0", "arguments of nested_conv"),
    (narrow(0), "layer conv0", "arguments for [105] input elements"),
    (offer_of_another, "layer conv0", "one of the op's offers"),
    (other_offer, "layer conv1", "as the offer draws them up"),
    (arguments_of(0, tile=1), "layer conv0", "args as the offer draws them up"),
    (costs_more, "layer conv0", "levels as the offer draws them up"),
    (draft_of(0, scratch_bytes=8), "layer conv0", "scratch_bytes as the offer draws them up"),
    (draft_of(0, storage="paper"), "layer conv0", "storage as the offer draws them up"),
    (draft_of(1, overlaps=()), "layer conv1", "overlaps as the offer draws them up"),
    (contents_of(0, zeroed), "layer conv0", "the elements of positions as drawn up"),
    (contents_of(0, without_bias), "layer conv0", "members as the offer draws them up"),
    (contents_of(0, shared), "layer conv0", "multiplier as the offer draws it up"),
    (contents_of(0, all_by_level), "layer conv0", "a row of positions for each of 3 levels"),
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


MISLED = "the offer's storage, area and codecs"


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"kernel": "dense_conv"}, "arguments of dense_conv"),
        ({"storage": "paper"}, MISLED),
        ({"area_bytes": 8}, MISLED),
        ({"codecs": frozenset({"lz4"})}, MISLED),
        ({"stored_bytes": 1}, "the offer's bytes of weights and positions, 1"),
    ],
)
def test_an_offer_is_what_it_draws_up(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], rule: str
) -> None:
    """An offer of one thing whose call does another, as a kernel's file could make it."""

    def change(state: State) -> State:
        chosen = state.layers[0]
        offer = replace(chosen.offer, **changes)
        layers = (replace(chosen, offer=offer), *state.layers[1:])
        return replace(state, offers={**state.offers, chosen.op.name: (offer,)}, layers=layers)

    found = lower_broken(monkeypatch, "choose_storage", change, codecs="raw")
    assert found.node == "layer conv0" and rule in found.rule


def test_every_input_of_a_call_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(state: State) -> State:
        args: Any = state.layers[2].draft.args
        first, second = args.slices
        return arguments_of(2, slices=(first, replace(second, size=1)))(state)

    found = lower_broken(monkeypatch, "choose_storage", change, joined_network)
    assert found.rule == "arguments for [385, 70] input elements" and found.value == [385, 35]


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
