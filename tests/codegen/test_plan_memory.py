"""The arena plan never lets two live buffers share a byte, and wastes little."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.plan_memory import ALIGN_BYTES, Plan, Request, check, plan


@st.composite
def requests(draw: st.DrawFn) -> tuple[list[Request], int]:
    """Draw buffers with random sizes and lifetimes over a number of ops."""
    op_count = draw(st.integers(1, 12))
    result = []
    for index in range(draw(st.integers(0, 14))):
        first = draw(st.integers(0, op_count - 1))
        last = draw(st.integers(first, op_count - 1))
        result.append(Request(f"b{index}", draw(st.integers(1, 97)), first, last))
    return result, op_count


@given(requests())
@settings(max_examples=300, deadline=None)
def test_no_overlap_whatever_the_lifetimes(case: tuple[list[Request], int]) -> None:
    items, op_count = case
    result = plan(items, op_count)
    for op in range(op_count):
        owner: dict[int, str] = {}
        for item in (item for item in items if item.first <= op <= item.last):
            begin = result.offset_bytes[item.name]
            assert begin % ALIGN_BYTES == 0
            for byte in range(begin, begin + item.size_bytes):
                assert byte not in owner and byte < result.arena_bytes
                owner[byte] = item.name
        assert len(owner) <= result.peak_bytes[op] <= result.arena_bytes
    assert plan(items, op_count) == result


def test_a_chain_needs_its_two_largest_neighbours() -> None:
    sizes = [40, 104, 16, 64, 8]
    items = [Request(f"v{i}", size, i, i + 1) for i, size in enumerate(sizes)]
    result = plan(items, len(sizes) + 1)
    assert result.peak_bytes == (40, 144, 120, 80, 72, 8)
    assert result.arena_bytes == 144


@pytest.mark.parametrize(
    ("offsets", "arena_bytes"),
    [
        ({"a": 0, "b": 8}, 64),
        ({"a": 0, "b": 16}, 24),
        ({"a": 0, "b": 17}, 64),
        ({"a": -8, "b": 16}, 64),
    ],
)
def test_the_checker_rejects_unsound_plans(offsets: dict[str, int], arena_bytes: int) -> None:
    items = [Request("a", 12, 0, 1), Request("b", 12, 1, 2)]
    with pytest.raises(AssertionError):
        check(items, Plan(offsets, arena_bytes, (12, 24, 12)))
    check(items, Plan({"a": 0, "b": 16}, 32, (12, 24, 12)))
