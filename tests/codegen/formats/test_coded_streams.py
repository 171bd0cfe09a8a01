"""Codecs of streams: round trips, exact sizes, the format page's code, damage."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.errors import UserError
from codegen.formats import nested, storage
from codegen.formats.base import LayerWeights
from codegen.formats.codecs import CODECS, WORDS, admitted, deltas, lz4
from codegen.graph.ir import Allowed
from nestnet import config
from tests.support.weight_maps import Layer, code_values, coded_with, layers, low_first


def maps(layer: Layer) -> list[np.ndarray]:
    """Return each level's map of groups in patch order."""
    _, _, level, levels = layer
    order = nested.position_order(level)
    return [order == index for index in range(levels)]


@given(layers())
@settings(max_examples=150, deadline=None)
def test_deltas_give_the_position_bytes_back(layer: Layer) -> None:
    weight, group, level, levels = layer
    streams = nested.encode(weight, group, level, levels)
    for stream, present in zip(streams, maps(layer), strict=True):
        stored = deltas.encode(present)
        assert len(stored) == deltas.size_bytes(present)
        decoded = deltas.decode(stored, *present.shape, group)
        assert decoded.dtype == np.uint8 and np.array_equal(decoded, stream.positions)


@given(st.binary(max_size=3000) | st.builds(lambda b, n: b * n, st.binary(max_size=9), st.just(99)))
@settings(max_examples=100, deadline=None)
def test_lz4_gives_the_bytes_back(data: bytes) -> None:
    stored = lz4.encode(data)
    assert lz4.decode(stored, len(data)) == data
    with pytest.raises(UserError, match="lz4 block: damaged"):
        lz4.decode(stored, len(data) + 1)


def test_every_width_gives_the_map_back() -> None:
    """Maps of one gap all over take the width of that gap; the others hold them all the same."""
    chosen = set()
    for gap in (0, 1, 3, 7, 11, 23, 60, 126, 127, 200, 255, 1000):
        present = np.zeros((7, 1201), np.bool_)
        present.reshape(-1)[gap :: gap + 1] = True
        present[3] = False
        stored = deltas.encode(present)
        chosen.add(stored[0])
        forms = {width: coded_with(present, width) for width in deltas.WIDTHS}
        assert stored == forms[stored[0]] and len(stored) == min(map(len, forms.values()))
        for group in (1, 2, 4):
            wanted = nested.walk(present, group).positions
            for form in forms.values():
                assert np.array_equal(deltas.decode(form, *present.shape, group), wanted)
    assert chosen == set(deltas.WIDTHS)


@pytest.mark.parametrize(
    ("present", "code"),
    [
        ("1", "1"),
        ("1111 1111 1", "1111 1111 1"),
        ("0", ""),
        ("0000 0000 0000 0000", ""),
        ("0010 0100 1000", "11 11 11"),  # gaps of 2 are 3, low bit first
        ("0001 0010 0001 0000 1000", "001 110 101 101"),  # gaps of 3, 2, 4, 4
        ("0101 0101 0000 0000 0100", "01 01 01 01 00 00 00 10"),  # of 1 four times, 3 + 3 + 3 + 0
    ],
)
def test_deltas_byte_by_byte(present: str, code: str) -> None:
    plain = np.array([bit == "1" for bit in present.replace(" ", "")])
    stored = deltas.encode(plain[None])
    assert stored[1:] == low_first(code)
    wanted = nested.walk(plain[None], 1).positions
    assert np.array_equal(deltas.decode(stored, 1, len(plain), 1), wanted)


def test_a_gap_goes_on_from_one_output_channel_to_the_next() -> None:
    split = np.array([[False, True, False], [False, False, True]])
    assert deltas.encode(split) == deltas.encode(split.reshape(1, -1))


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ("", "got a width of 0 bits"),
        ("00", "got a width of 0 bits"),
        ("08 00 00", "got a width of 8 bits"),
        ("02 00", "got 8 bits left over"),
        ("02 01 00", "got 14 bits left over"),
        ("05 e1", "got 3 bits left over"),  # ones in the filling
        ("05 21 80", "got 6 bits left over"),
        ("04 c9", "got a group at 20, expected below 20"),
        ("04 00 90 f0", "got a group at 83, expected below 20"),
    ],
)
def test_what_deltas_refuse(stored: str, said: str) -> None:
    with pytest.raises(UserError, match=f"coded positions: damaged; {said}"):
        deltas.decode(bytes.fromhex(stored), 4, 5, 4)


def damaged(stored: bytes, data: st.DataObject) -> tuple[bytes, str]:
    """Return ``stored`` with a byte changed, cut or longer, and which."""
    changed = bytearray(stored)
    action = data.draw(st.sampled_from(["flip", "cut", "grow"]))
    if action == "flip":
        changed[data.draw(st.integers(0, len(stored) - 1))] ^= data.draw(st.integers(1, 255))
    elif action == "cut":
        del changed[data.draw(st.integers(0, len(stored) - 1)) :]
    else:
        changed += data.draw(st.binary(min_size=1, max_size=9))
    return bytes(changed), action


@given(layers(), st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_blocks_raise_only_user_errors(layer: Layer, data: st.DataObject) -> None:
    weight, group, level, levels = layer
    plain = nested.encode(weight, group, level, levels)[0].positions.tobytes()
    stored, action = damaged(lz4.encode(plain), data)
    try:
        back = lz4.decode(stored, len(plain))
    except UserError as error:
        assert "damaged" in str(error)
        return
    assert action == "flip", "a block of another length says so"
    assert len(back) == len(plain)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.03, 0.2, 0.6]), st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_deltas_are_refused_or_another_map_s_code(
    seed: int, density: float, data: st.DataObject
) -> None:
    """A map has one code of each width: whatever else is stored is refused."""
    present = np.random.default_rng(seed).random((5, 37)) < density
    stored, _ = damaged(coded_with(present, data.draw(st.sampled_from(deltas.WIDTHS))), data)
    try:
        positions = deltas.decode(stored, *present.shape, 1)
    except UserError as error:
        assert "damaged" in str(error)
        return
    named = np.zeros_like(present)
    for row, segment in enumerate(np.split(positions, np.flatnonzero(positions & 0x80)[:-1] + 1)):
        named[row, np.cumsum(segment & 0x7F)] = True
    # A segment's one byte 80 is position 0 or an empty row: of all such maps one has this code.
    doubtful = [row for row in range(5) if named[row].sum() == 1 and named[row, 0]]
    forms = []
    for choice in product([True, False], repeat=len(doubtful)):
        named[doubtful, 0] = choice
        forms.append(coded_with(named, stored[0]))
    assert forms.count(stored) == 1


def test_codecs_are_the_files_of_their_folder() -> None:
    files = Path(lz4.__file__).parent.glob("[a-z]*.py")
    assert {path.stem for path in files} == {codec.name for codec in CODECS}
    assert CODECS[0].name == "raw" and not CODECS[0].decoder_bytes, "the cheapest to decode"
    assert all(codec.decoder_bytes > 0 for codec in CODECS[1:])


def test_what_may_be_said_of_codecs_is_one_list() -> None:
    """Files, training and code generation each state it for their users."""
    assert WORDS == get_args(Allowed) == config.CODECS
    assert [codec.name for codec in admitted("lz4")] == ["raw", "lz4"]
    assert admitted("all") == CODECS and admitted("raw") == CODECS[:1]


@given(layers())
@settings(max_examples=60, deadline=None)
def test_every_format_and_codec_says_its_bytes(layer: Layer) -> None:
    """What is counted without making it is what is made; formats name their own streams."""
    weight, group, level, levels = layer
    whole = LayerWeights(weight, group, level, levels)
    for form in storage.FORMATS:
        if not form.holds(whole):
            continue
        found = storage.in_format(whole, form)
        named = {stream.level for stream in found.streams}
        assert named == (set(range(levels)) if form.per_level else {None})
        for role, in_codec in found.stored_bytes.items():
            assert {codec for codec in CODECS if role in codec.roles} == set(in_codec)
            for codec, sizes in in_codec.items():
                assert sizes == tuple(len(codec.encode(stream)) for stream in found.of(role))


def test_unknown_codecs_are_refused() -> None:
    with pytest.raises(UserError, match="--codecs: unknown codecs; got zip, expected all or lz4"):
        admitted("zip")


@given(layers())
@settings(max_examples=30, deadline=None)
def test_codes_are_counted_as_the_format_page_tells_them(layer: Layer) -> None:
    for present in maps(layer):
        width = deltas.encode(present)[0]
        assert deltas.code_count(present) == len(code_values(present, width))
