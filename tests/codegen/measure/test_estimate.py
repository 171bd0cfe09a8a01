"""The estimator on hand-made executions: edges, outcomes, functions, ranges, figures to keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from codegen.errors import UserError
from codegen.measure.pipelines.estimate import PRICERS, Block, estimate, loop_cost
from codegen.target import boards, memory_system
from codegen.target.emulator.counts import Function
from codegen.target.emulator.events import Events
from codegen.target.memory_system import Geometry

Bytes = Callable[[str], bytes]


def test_loop_cost(assemble_bytes: Bytes) -> None:
    code = assemble_bytes("l: ldr r4, [r0], #4; smlad r2, r4, r5, r2; subs r6, #1; bne l")
    assert loop_cost(code, "cortex-m4") == 2 + 1 + 1 + 3
    # LDR; SMLAD two cycles later, with SUBS; BNE: cycles 0, 2, 3.
    assert loop_cost(code, "cortex-m7") == 4
    off_grid = loop_cost(code, "cortex-m4", address=2)
    assert off_grid == 7 + 1  # the loop's first instruction is 32 bits off the word grid


def test_blocks_are_priced_after_their_predecessors(assemble_bytes: Bytes) -> None:
    first = assemble_bytes("ldr r0, [r1]; cbz r6, .+8")
    second = assemble_bytes("ldr r2, [r3]; bx lr")
    # The conditional branch ends the M4's run of loads: 2 + 1, then 2 + 3.
    blocks = [Block(0, first, 10, 10), Block(len(first), second, 10, 0)]
    assert estimate(blocks, "cortex-m4").cycles == 10 * (2 + 1 + 2 + 3)
    # M7: LDR with CBZ, LDR with BX. If the first load feeds the second, its latency of 2 shows,
    # but only where the blocks are known to follow each other.
    assert estimate(blocks, "cortex-m7").cycles == 10 * 2
    fed = assemble_bytes("ldr r2, [r0]; bx lr")
    chained = [Block(0, first, 10, 10), Block(len(first), fed, 10, 0)]
    assert estimate(chained, "cortex-m7").cycles == 10 * 3
    apart = [Block(0, first, 10, 10), Block(0x100, fed, 10, 0)]
    assert estimate(apart, "cortex-m7").cycles == 10 * 2


def test_mispredictions_are_the_rarer_outcome(assemble_bytes: Bytes) -> None:
    code = assemble_bytes("cmp r0, r1; bne .+8")
    for not_taken in (0, 30, 70, 100):
        cycles = estimate([Block(0, code, 100, not_taken)], "cortex-m7").cycles
        assert cycles == 100 + 8 * min(not_taken, 100 - not_taken)


def test_one_branch_in_two_blocks_has_one_prediction(assemble_bytes: Bytes) -> None:
    entry = assemble_bytes("movs r0, #9; nop; subs r0, #1; bne .-2")
    loop = entry[4:]
    blocks = [Block(0, entry, 1, 0), Block(4, loop, 8, 1)]
    # Taken 1 + 7 times, not taken once: 8 cycles. MOVS with NOP, SUBS with BNE: 2. Passes: 1.
    assert estimate(blocks, "cortex-m7").cycles == 2 + 8 + 8


def test_functions_share_the_total(assemble_bytes: Bytes) -> None:
    code = assemble_bytes("adds r0, r1; bx lr")
    functions = [Function("a", 0x100, 4), Function("b", 0x200, 4)]
    blocks = [Block(0x100, code, 3, 0), Block(0x200, code, 5, 0), Block(0x300, code, 1, 0)]
    result = estimate(blocks, "cortex-m4", functions=functions)
    assert {name: cost.instructions for name, cost in result.by_function.items()} == {
        "b": 10, "a": 6, "?": 2,
    }  # fmt: skip
    assert result.cycles == sum(cost.cycles.low for cost in result.by_function.values()) == 9 * 4
    assert result.total.instructions == 18
    assert "not measured" in result.note and "10 %" in result.note


def test_unknown_core() -> None:
    with pytest.raises(UserError, match=r"cortex-m33.*cortex-m4, cortex-m7"):
        estimate([], "cortex-m33")


def test_events_cost_what_the_validated_models_say(assemble_bytes: Bytes) -> None:
    code = assemble_bytes("adds r0, r1; bx lr")
    events = Events(instruction_misses=7, load_misses=5, store_misses=3, flash_loads=100)
    block = Block(0x100, code, 2, 0, events)
    art = memory_system.of_board(boards.load("stm32l4"))
    assert estimate([block], "cortex-m4", art).cycles == 2 * 4 + 5 * (7 + 5)
    f7 = boards.load("stm32f7")
    small = replace(f7.cache, instruction_bytes=4096, data_bytes=4096)
    small_f7 = replace(f7, chip=replace(f7.chip, cache=small))
    caches = memory_system.of_board(small_f7)
    assert caches.validated is not None
    assert caches.instruction_cache == Geometry(sets=64, ways=2, line_bytes=32)
    assert caches.data_cache == Geometry(sets=32, ways=4, line_bytes=32)
    pipeline = estimate([block], "cortex-m7").cycles
    assert pipeline is not None
    assert estimate([block], "cortex-m7", caches).cycles == pipeline + 12 * (7 + 5) + 6 * 3


def test_every_shipped_board_has_the_right_kind_of_estimate(assemble_bytes: Bytes) -> None:
    block = Block(0x100, assemble_bytes("adds r0, r1; bx lr"), 2, 0)
    for name in boards.names():
        target = boards.load(name)
        if target.is_host:
            continue
        if target.core.pricer is None:
            continue
        assert target.core.pricer in PRICERS
        result = estimate([block], target.core.pricer, memory_system.of_board(target))
        is_range = result.cycles is None
        assert is_range == ("range" in result.note), name
        expect_number = target.runner == "qemu" or name in ("stm32l4", "stm32f746")
        assert is_range != expect_number, name


# The inner loop of a nested 1x4 convolution, four columns at once, as gcc 12.2 -O3 compiles it for
# either core: 23 instructions, 16 multiply-accumulates. Address and code.
NESTED_FOR_M4 = (
    0x1A,
    "11f8016b50f804cb03ebc6032ffa8cfed3f800b0d3f8c0705e682ffa9cfc2efb07572efb0ba52cfb065a"
    "d3f840b2d3f88061d3f8c4502efb06462efb0b2ed3f88441d3f8442288452cfb05752cfb04642cfb02e2d4d1",
)
NESTED_FOR_M7 = (
    0x18,
    "11f8016b50f804cb03ebc60388452ffa9cfed3f800b02ffa8cfcd3f8c0705e682cfb07572cfb0ba5d3f840b2"
    "2efb065ad3f88061d3f8c4502cfb06462cfb0b2cd3f884412efb0575d3f844222efb04642efb02c2d4d1",
)


def test_compiled_nested_loop() -> None:
    """Keep figures that a change of the rules would move.

    By hand, the first on the M4: 23 instructions; + 2 refill; + 4, one for each run of loads (2,
    3, 3 and 2); + 1 for a 32-bit branch target off the word grid; + 1 for each of two runs of
    three and more 32-bit instructions off the grid.
    """
    address, code = NESTED_FOR_M4[0], bytes.fromhex(NESTED_FOR_M4[1])
    assert loop_cost(code, "cortex-m4", address) == 23 + 2 + 4 + 1 + 2
    assert loop_cost(code, "cortex-m7", address) == 19
    address, code = NESTED_FOR_M7[0], bytes.fromhex(NESTED_FOR_M7[1])
    assert loop_cost(code, "cortex-m4", address) == 33
    assert loop_cost(code, "cortex-m7", address) == 17
