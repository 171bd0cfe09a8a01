"""Weight formats: round trips, exact sizes, the format page's byte examples, hostile input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.errors import UserError
from codegen.formats import dense, nested
from codegen.graph.ir import NEVER
from tests.support.weight_maps import Layer, layers


@given(layers())
@settings(max_examples=150, deadline=None)
def test_nested_round_trip_and_exact_size(layer: Layer) -> None:
    weight, group, level, levels = layer
    streams = nested.encode(weight, group, level, levels)
    first_level = nested.position_order(level)
    counts = [len(nested.walk(first_level == k, group).positions) for k in range(levels)]
    in_c = weight.shape[-1]
    for index, stream in enumerate(streams):
        assert len(stream.positions) == counts[index]
        assert stream.size_bytes == counts[index] * (1 + group)
        back, named = nested.decode(stream, weight.shape, group)
        mask = level == index
        assert np.array_equal(
            back, np.where(np.repeat(mask, group, axis=-1)[..., :in_c], weight, 0)
        )
        assert named[mask].all()


@given(layers())
@settings(max_examples=60, deadline=None)
def test_walking_the_stream_gives_the_dot_product(layer: Layer) -> None:
    """Walk bytes as docs/format.md tells a kernel to, on a patch of its own making."""
    weight, group, level, levels = layer
    out_c, kernel_h, kernel_w, in_c = weight.shape
    channels = nested.padded_channels(in_c, group)
    rng = np.random.default_rng(0)
    image = rng.integers(-255, 256, (kernel_h, kernel_w, in_c))
    patch = np.zeros((kernel_w, kernel_h, channels), np.int64)
    patch[..., :in_c] = image.transpose(1, 0, 2)
    flat = patch.reshape(-1)
    acc = np.zeros(out_c, np.int64)
    for stream in nested.encode(weight, group, level, levels):
        walk(stream, group, flat, acc)
    expected = (weight.astype(np.int64) * image).sum(axis=(1, 2, 3))
    assert np.array_equal(acc, expected)


def walk(stream: nested.NestedStream, group: int, flat: np.ndarray, acc: np.ndarray) -> None:
    """Add one level's segments to the accumulators, one output channel after the other."""
    row, position, index = 0, 0, 0
    weights = stream.weights.astype(np.int64)
    for index, byte in enumerate(stream.positions):
        position += int(byte) & 127
        if group == 4:
            w0, w2, w1, w3 = weights[4 * index : 4 * index + 4]
            values = [w0, w1, w2, w3]
        elif group == 2:
            a0, b0, a1, b1 = weights[index // 2 * 4 : index // 2 * 4 + 4]
            values = [b0, b1] if index % 2 else [a0, a1]
        else:
            values = [weights[index]]
        acc[row] += sum(w * flat[position * group + i] for i, w in enumerate(values))
        if byte & 128:
            assert group != 2 or index % 2 == 1
            row, position = row + 1, 0
    assert row == len(acc)


def test_bytes_of_the_format_page() -> None:
    weight = np.array([1, 2, 3, 4, 5, 6, 7, 8], np.int8).reshape(1, 1, 1, 8)
    (stream,) = nested.encode(weight, 4, np.zeros((1, 1, 1, 2), np.uint8), 1)
    assert stream.positions.tolist() == [0, 1 | 128]
    assert stream.weights.tolist() == [1, 3, 2, 4, 5, 7, 6, 8]
    (stream,) = nested.encode(weight[..., :6], 2, np.zeros((1, 1, 1, 3), np.uint8), 1)
    assert stream.positions.tolist() == [0, 1, 1, 128]
    assert stream.weights.tolist() == [1, 3, 2, 4, 5, 0, 6, 0]
    (stream,) = nested.encode(weight[..., :2], 1, np.array([[[[NEVER, 0]]]], np.uint8), 1)
    assert (stream.positions.tolist(), stream.weights.tolist()) == ([129], [2])


@pytest.mark.parametrize(
    ("gap", "advances"), [(127, [127]), (128, [127, 1]), (254, [127, 127]), (255, [127, 127, 1])]
)
def test_long_gaps_are_bridged(gap: int, advances: list[int]) -> None:
    level = np.full((1, 1, 1, gap + 1), NEVER, np.uint8)
    level[..., gap] = 0
    weight = np.where(level == 0, 5, 0).astype(np.int8)
    (stream,) = nested.encode(weight, 1, level, 1)
    assert [byte & 127 for byte in stream.positions] == advances
    assert stream.weights.tolist() == [0] * (len(advances) - 1) + [5]


@pytest.mark.parametrize("group", [1, 2, 4])
def test_an_empty_level_is_one_dummy_per_channel(group: int) -> None:
    weight = np.zeros((3, 1, 1, 8), np.int8)
    level = np.full((3, 1, 1, 8 // group), NEVER, np.uint8)
    (stream,) = nested.encode(weight, group, level, 1)
    dummies = 2 if group == 2 else 1
    assert stream.positions.tolist() == ([0] * (dummies - 1) + [128]) * 3
    assert not stream.weights.any()


@pytest.mark.parametrize(("group", "budget_bytes"), [(4, 1.25), (2, 1.5), (1, 2.0)])
def test_bytes_per_kept_weight(group: int, budget_bytes: float) -> None:
    """One level at density 10 % of a 3x3x32 -> 32 layer; G = 2 pays for odd segments."""
    rng = np.random.default_rng(1)
    shape = (32, 3, 3, 32 // group)
    level = np.where(rng.random(shape) < 0.1, 0, NEVER).astype(np.uint8)
    weight = np.ones((32, 3, 3, 32), np.int8)
    weight[np.repeat(level == NEVER, group, axis=-1)] = 0
    (stream,) = nested.encode(weight, group, level, 1)
    per_weight = stream.size_bytes / int(np.count_nonzero(weight))
    print(f"G={group}: {per_weight:.3f} bytes per kept weight")
    assert budget_bytes <= per_weight < budget_bytes * (1.06 if group == 2 else 1.001)


@given(layers(), st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_streams_raise_only_user_errors(layer: Layer, data: st.DataObject) -> None:
    weight, group, level, levels = layer
    stream = nested.encode(weight, group, level, levels)[0]
    positions, weights = bytearray(stream.positions), bytearray(stream.weights.tobytes())
    for buffer in (positions, weights):
        action = data.draw(st.sampled_from(["keep", "flip", "cut", "grow"]))
        if action == "flip":
            buffer[data.draw(st.integers(0, len(buffer) - 1))] ^= data.draw(st.integers(1, 255))
        elif action == "cut":
            del buffer[data.draw(st.integers(0, len(buffer) - 1)) :]
        elif action == "grow":
            buffer += data.draw(st.binary(min_size=1, max_size=9))
    damaged = nested.NestedStream(
        np.frombuffer(bytes(positions), np.uint8), np.frombuffer(bytes(weights), np.int8)
    )
    try:
        back, _ = nested.decode(damaged, weight.shape, group)
    except UserError:
        return
    assert back.shape == weight.shape


@given(layers())
@settings(max_examples=60, deadline=None)
def test_dense_round_trip(layer: Layer) -> None:
    weight = layer[0]
    _, kernel_h, kernel_w, in_c = weight.shape
    for channels in (in_c, in_c + 1):
        rows = dense.encode(weight, channels)
        assert rows.shape == (len(weight), dense.row_bytes(kernel_h, kernel_w, channels))
        assert rows.shape[1] % 4 == 0
        assert np.array_equal(dense.decode(rows, weight.shape, channels), weight)


@pytest.mark.parametrize(
    ("in_c", "kernel_h", "stride", "channels"),
    [
        (1, 10, (2, 2), 1),
        (3, 3, (2, 2), 3),
        (3, 3, (1, 1), 4),
        (3, 2, (1, 1), 4),  # columns even, rows slide by an odd number
        (3, 2, (2, 1), 3),
        (3, 1, (1, 1), 4),
        (3, 1, (1, 2), 3),  # nothing slides
        (8, 3, (1, 1), 8),
    ],
)
def test_odd_channels_are_padded_only_where_patches_would_leave_a_word(
    in_c: int, kernel_h: int, stride: tuple[int, int], channels: int
) -> None:
    assert dense.padded_channels(in_c, kernel_h, stride) == channels


def test_dense_bytes_and_damage() -> None:
    weight = np.arange(1, 7, dtype=np.int8).reshape(1, 1, 2, 3)
    rows = dense.encode(weight, 4)
    assert rows.tolist() == [[1, 3, 2, 0, 4, 6, 5, 0]]
    with pytest.raises(UserError, match="wrong size"):
        dense.decode(rows[:, :-1], weight.shape, 4)
    rows[0, 3] = 1
    with pytest.raises(UserError, match="damaged padding"):
        dense.decode(rows, weight.shape, 4)
