"""The arena plan lets live buffers share bytes as rules allow only, and wastes little."""

from __future__ import annotations

from itertools import combinations, product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.lower.plan_memory import ALIGN_BYTES, Plan, Request, conflicts, plan
from codegen.program.draft import Overlap


@st.composite
def requests(draw: st.DrawFn) -> tuple[list[Request], int]:
    """Draw buffers with random sizes, lifetimes over a number of ops and rules to share."""
    op_count = draw(st.integers(1, 12))
    result: list[Request] = []
    for index in range(draw(st.integers(0, 14))):
        first = draw(st.integers(0, op_count - 1))
        last = draw(st.integers(first, op_count - 1))
        dying = [item for item in result if item.first < first == item.last]
        over = {
            item.name: Overlap(draw(st.integers(-99, 99)), draw(st.sampled_from([1, 1, 3, 16])))
            for item in dying
            if draw(st.booleans())
        }
        result.append(Request(f"b{index}", draw(st.integers(1, 97)), first, last, over))
    return result, op_count


def bytes_of(item: Request, offsets: dict[str, int]) -> set[int]:
    """Return the arena bytes of a buffer."""
    return set(range(offsets[item.name], offsets[item.name] + item.size_bytes))


def is_sound(items: list[Request], op_count: int, offsets: dict[str, int]) -> bool:
    """Return, byte by byte and op by op, whether buffers share only what rules allow."""
    for op in range(op_count):
        alive = [item for item in items if item.first <= op <= item.last]
        for first, second in combinations(alive, 2):
            if not bytes_of(first, offsets) & bytes_of(second, offsets):
                continue
            allowed = False
            for over, under in ((first, second), (second, first)):
                rule = over.over.get(under.name)
                distance = offsets[under.name] - offsets[over.name]
                if rule is not None and over.first == op == under.last:
                    enough = distance >= rule.lead_bytes
                    allowed = allowed or (enough and distance % rule.step_bytes == 0)
            if not allowed:
                return False
    return True


@given(requests())
@settings(max_examples=150, deadline=None)
def test_bytes_are_shared_by_the_rules_whatever_the_lifetimes(
    case: tuple[list[Request], int],
) -> None:
    items, op_count = case
    result = plan(items, op_count)
    assert is_sound(items, op_count, result.offset_bytes)
    assert all(offset % ALIGN_BYTES == 0 for offset in result.offset_bytes.values())
    for op in range(op_count):
        used = set[int]()
        for item in items:
            if item.first <= op <= item.last:
                used |= bytes_of(item, result.offset_bytes)
        assert max(used, default=0) < result.arena_bytes or not used
        assert result.peak_bytes[op] <= result.arena_bytes
    assert plan(items, op_count) == result
    assert plan(items, op_count, rounds=1).arena_bytes >= result.arena_bytes


@given(requests(), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_the_checker_agrees_with_the_bytes(case: tuple[list[Request], int], random: Random) -> None:
    items, op_count = case
    offsets = {item.name: 8 * random.randrange(20) for item in items}
    made = Plan(offsets, 1024, ())
    assert is_sound(items, op_count, offsets) == (not list(conflicts(items, made)))


@st.composite
def few_requests(draw: st.DrawFn) -> tuple[list[Request], int]:
    """Draw a chain of three buffers, each over the one before, and a scratch area."""
    sizes = [draw(st.integers(1, 4)) * ALIGN_BYTES for _ in range(4)]
    chain = [Request("v0", sizes[0], 0, 1)]
    for index in (1, 2):
        rule = Overlap(draw(st.integers(-40, 40)), draw(st.sampled_from([1, 8, 16])))
        chain.append(Request(f"v{index}", sizes[index], index, index + 1, {f"v{index - 1}": rule}))
    at = draw(st.integers(0, 3))
    return [*chain, Request("scratch", sizes[3], at, at)], 4


@given(few_requests())
@settings(max_examples=60, deadline=None)
def test_no_plan_at_all_is_below_the_bound(case: tuple[list[Request], int]) -> None:
    """Of all plans of a few buffers the best is at least the bound, and the greedy one is best."""
    items, op_count = case
    result = plan(items, op_count)
    best = result.arena_bytes
    for blocks in product(range(best // ALIGN_BYTES), repeat=len(items)):
        offsets = {
            item.name: ALIGN_BYTES * block for item, block in zip(items, blocks, strict=True)
        }
        end = max(offsets[item.name] + item.size_bytes for item in items)
        if end < best and is_sound(items, op_count, offsets):
            best = end
    assert max(result.peak_bytes) <= best
    assert result.arena_bytes <= best + ALIGN_BYTES * 2


def test_a_chain_needs_its_two_largest_neighbours() -> None:
    sizes = [40, 104, 16, 64, 8]
    items = [Request(f"v{i}", size, i, i + 1) for i, size in enumerate(sizes)]
    result = plan(items, len(sizes) + 1)
    assert result.peak_bytes == (40, 144, 120, 80, 72, 8)
    assert result.arena_bytes == 144


def test_a_chain_in_place_needs_its_largest_buffer() -> None:
    sizes = [40, 104, 16, 64, 8]
    rules = [Overlap(8), Overlap(0), Overlap(-8), Overlap(4)]
    items = [Request("v0", 40, 0, 1)]
    for index, (size, rule) in enumerate(zip(sizes[1:], rules, strict=True), 1):
        items.append(Request(f"v{index}", size, index, index + 1, {f"v{index - 1}": rule}))
    result = plan(items, len(sizes) + 1)
    assert result.peak_bytes == (40, 104, 104, 64, 72, 8), "v4 cannot lie within v3"
    assert result.arena_bytes == 104


def test_an_output_over_two_inputs_saves_no_more_than_itself() -> None:
    over = {"a": Overlap(0), "b": Overlap(-64)}
    items = [Request("a", 64, 0, 1), Request("b", 64, 0, 1), Request("sum", 96, 1, 1, over)]
    result = plan(items, 2)
    assert result.peak_bytes == (128, 128)
    assert result.arena_bytes == 128


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
    assert list(conflicts(items, Plan(offsets, arena_bytes, (12, 24, 12))))
    assert not list(conflicts(items, Plan({"a": 0, "b": 16}, 32, (12, 24, 12))))
