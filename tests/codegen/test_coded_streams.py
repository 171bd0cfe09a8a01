"""Codecs of streams: round trips, exact sizes, the format page's code, damage."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen import sizing
from codegen.codecs import lz4, nested, runs
from codegen.errors import UserError
from tests.codegen.test_codecs import Layer, layers


def maps(layer: Layer) -> list[np.ndarray]:
    """Return each level's map of groups in patch order."""
    _, _, level, levels = layer
    order = nested.position_order(level)
    return [order == index for index in range(levels)]


@given(layers())
@settings(max_examples=150, deadline=None)
def test_runs_give_the_position_bytes_back(layer: Layer) -> None:
    weight, group, level, levels = layer
    streams = nested.encode(weight, group, level, levels)
    for stream, present in zip(streams, maps(layer), strict=True):
        stored = runs.encode(present)
        assert len(stored) == runs.size_bytes(present)
        decoded = runs.decode(stored, *present.shape, group)
        assert decoded.dtype == np.uint8 and np.array_equal(decoded, stream.positions)


@given(st.binary(max_size=3000) | st.builds(lambda b, n: b * n, st.binary(max_size=9), st.just(99)))
@settings(max_examples=100, deadline=None)
def test_lz4_gives_the_bytes_back(data: bytes) -> None:
    stored = lz4.encode(data)
    assert lz4.decode(stored, len(data)) == data
    with pytest.raises(UserError, match="lz4 block: damaged"):
        lz4.decode(stored, len(data) + 1)


def bits(text: str) -> bytes:
    """Return bits, spaces ignored, as bytes filled up with zeros."""
    plain = text.replace(" ", "")
    return bytes(int(plain[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(plain), 8))


@pytest.mark.parametrize(
    ("present", "header", "code"),
    [
        ("1", 0x00, "1 1"),  # no absent group before one present
        ("0", 0x00, "01"),  # one absent; k = 0 of nothing
        ("0000 0000", 0x03, "01 000"),  # 8 = 1 << 3
        ("0011 1100", 0x10, "001 01 1 01"),
        ("1111 1111", 0x20, "1 01 11"),
    ],
)
def test_runs_byte_by_byte(present: str, header: int, code: str) -> None:
    plain = np.array([bit == "1" for bit in present.replace(" ", "")])
    stored = runs.encode(plain[None])
    by_hand = bytes([header]) + bits(code)
    assert len(stored) <= len(by_hand)
    assert np.array_equal(
        runs.decode(by_hand, 1, len(plain), 1), runs.decode(stored, 1, len(plain), 1)
    )


def test_a_run_goes_on_from_one_output_channel_to_the_next() -> None:
    split = np.array([[False, True, True], [True, False, False]])
    assert runs.encode(split) == runs.encode(split.reshape(1, -1))


@given(layers(), st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_codes_raise_only_user_errors(layer: Layer, data: st.DataObject) -> None:
    weight, group, level, levels = layer
    stream, present = nested.encode(weight, group, level, levels)[0], maps(layer)[0]
    plain = stream.positions.tobytes()
    for encoded, decode in (
        (runs.encode(present), lambda stored: runs.decode(stored, *present.shape, group)),
        (lz4.encode(plain), lambda stored: lz4.decode(stored, len(plain))),
    ):
        stored = bytearray(encoded)
        action = data.draw(st.sampled_from(["flip", "cut", "grow"]))
        if action == "flip":
            stored[data.draw(st.integers(0, len(stored) - 1))] ^= data.draw(st.integers(1, 255))
        elif action == "cut":
            del stored[data.draw(st.integers(0, len(stored) - 1)) :]
        else:
            stored += data.draw(st.binary(min_size=1, max_size=9))
        try:
            back = decode(bytes(stored))
        except UserError as error:
            assert "damaged" in str(error)
            continue
        assert action == "flip", "a code of another length says so"
        assert len(back)


def test_unknown_codecs_are_refused() -> None:
    with pytest.raises(UserError, match="--codecs: unknown codecs; got zip, expected all or lz4"):
        sizing.allowed_codecs("zip")


@given(layers())
@settings(max_examples=30, deadline=None)
def test_runs_are_counted_as_the_format_page_tells_them(layer: Layer) -> None:
    for present in maps(layer):
        text = "".join("1" if bit else "0" for bit in present.reshape(-1))
        changes = sum(a != b for a, b in pairwise(text))
        assert runs.run_count(present) == changes + 1 + text.startswith("1")
