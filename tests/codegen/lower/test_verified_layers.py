"""Offers and layers are verified: what breaks is named, with layer, rule and value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from codegen.lower.state import State
from codegen.program.draft import Draft
from tests.support.broken_lowering import joined_network, lower_broken


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
