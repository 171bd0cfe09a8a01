"""Where code, weights, data, stack and arena go: the rule, what overrides it, what cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from codegen.errors import UserError
from codegen.target import boards, memory_system, placement
from codegen.target.boards import Board
from codegen.target.chips import Enable, Memory
from codegen.target.memory_system import Stand
from codegen.target.placement import DoesNotFit, Needs
from codegen.target.target import resolve

KIB = 1024
H7 = boards.load("stm32h7")


def needs(arena_bytes: int = 8, weights_bytes: int = 8, edge_bytes: int = 1000) -> Needs:
    return Needs(weights_bytes, arena_bytes, edge_bytes, stack_bytes=4096)


def where(board: Board, wanted: Needs) -> dict[str, str]:
    layout = placement.place(board, wanted)
    return {use: layout.of(use).bank.name for place in layout.places for use in place.uses}


def with_memory(*memory: Memory) -> Board:
    board = boards.load("qemu_m4")
    return replace(board, chip=replace(board.chip, memory=memory))


@pytest.mark.parametrize(("arena_bytes", "region"), [
    (8, "DTCM"),
    (131_072 - 4096 - 1000 - 4096, "DTCM"),
    (131_072 - 4096 - 1000 - 4095, "AXI_SRAM"),  # beside the variables it could still fit
    (524_288, "AXI_SRAM"),
])  # fmt: skip
def test_the_fastest_region_that_holds_the_arena_gets_it(arena_bytes: int, region: str) -> None:
    found = where(H7, needs(arena_bytes))
    assert found == {
        "code": "FLASH", "weights": "FLASH", "data": "DTCM", "stack": "DTCM", "arena": region,
    }  # fmt: skip


def test_an_arena_no_region_holds_names_what_is_free_in_each() -> None:
    with pytest.raises(DoesNotFit) as caught:
        placement.place(H7, needs(524_289))
    free = {bank.name: free for bank, free in caught.value.free}
    assert free == {
        "DTCM": 131_072 - 5096, "AXI_SRAM": 524_288,
        "SRAM1+SRAM2+SRAM3": 294_912, "SRAM4": 65_536,
    }  # fmt: skip
    assert (caught.value.use, caught.value.needed_bytes) == ("arena", 524_289)


def test_a_board_says_where_it_wants_the_arena() -> None:
    alone = boards.with_places(H7, {"arena": "SRAM2"}, "--place")
    assert where(alone, needs())["arena"] == "SRAM2"
    two = boards.with_places(H7, {"arena": "SRAM1+SRAM2"}, "--place")
    assert where(two, needs())["arena"] == "SRAM1+SRAM2"
    board = boards.with_places(H7, {"arena": "SRAM1+SRAM2+SRAM3"}, "--place")
    assert where(board, needs())["arena"] == "SRAM1+SRAM2+SRAM3"
    again = boards.with_places(board, {"data": "AXI_SRAM"}, "--place")
    assert where(again, needs())["data"] == "AXI_SRAM"
    assert where(again, needs())["stack"] == "DTCM"
    with pytest.raises(DoesNotFit) as caught:
        placement.place(board, needs(294_913))
    assert [bank.name for bank, _ in caught.value.free] == ["SRAM1+SRAM2+SRAM3"]
    for regions, message in (
        ({"arena": "FLASH"}, r"--place: no region for arena; got FLASH, expected one of DTCM, AXI"),
        ({"heap": "DTCM"}, r"unknown use of memory; got heap, expected one of code, weights"),
        ({"code": "DTCM"}, r"no region for code; got DTCM, expected one of FLASH"),
        (
            {"arena": "SRAM1+SRAM3"},
            r"no piece of memory for arena; got SRAM1\+SRAM3, ",
        ),
        ({"arena": "SRAM2+SRAM1"}, "no piece of memory for arena"),
        ({"arena": "DTCM+AXI_SRAM"}, "no piece of memory for arena"),
    ):
        with pytest.raises(UserError, match=message):
            boards.with_places(H7, regions, "--place")


def test_a_region_that_is_named_is_a_piece_of_its_own() -> None:
    """Of the F7 all RAM touches; an arena that shall not lie in DTCM does not."""
    board = boards.with_places(boards.load("stm32f7"), {"arena": "SRAM1"}, "--place")
    assert where(board, needs())["arena"] == "SRAM1"
    assert where(board, needs())["data"] == "DTCM"


FLASH = Memory("FLASH", ("code", "weights"), 0, 64 * KIB, 5, True)
QSPI = Memory("QSPI", ("weights",), 0x9000_0000, 1024 * KIB, 40, True)
RAM = Memory("RAM", ("data", "stack", "arena"), 0x2000_0000, 16 * KIB, 0, False)


def test_weights_lie_beside_the_code_while_they_leave_room_for_it() -> None:
    board = with_memory(QSPI, FLASH, RAM)
    assert where(board, needs(weights_bytes=32 * KIB))["weights"] == "FLASH"
    assert where(board, needs(weights_bytes=32 * KIB + 1))["weights"] == "QSPI"
    only = with_memory(FLASH, RAM)
    assert where(only, needs(weights_bytes=64 * KIB))["weights"] == "FLASH"
    with pytest.raises(DoesNotFit, match="weights"):
        placement.place(only, needs(weights_bytes=64 * KIB + 1))


def test_equal_regions_are_taken_without_cache_first_and_then_by_order() -> None:
    cached = Memory("A", ("arena",), 0x2001_0000, 16 * KIB, 0, True)
    late = Memory("C", ("arena",), 0x2003_0000, 16 * KIB, 0, False)
    slow = Memory("S", ("arena",), 0x2005_0000, 64 * KIB, 1, False)
    board = with_memory(FLASH, replace(RAM, wait_states=3), slow, cached, late)
    assert where(board, needs(16 * KIB))["arena"] == "C"
    assert where(board, needs(16 * KIB + 8))["arena"] == "S"


def test_names_in_the_linker_script_are_roles() -> None:
    stack = Memory("CCM", ("stack",), 0x1000_0000, 8 * KIB, 0, False)
    data = replace(RAM, use=("data",))
    arena = Memory("RAM2", ("arena",), 0x3000_0000, 16 * KIB, 0, False, Enable(0x40, 2))
    other = replace(arena, name="RAM3", address=arena.end, enable=Enable(0x40, 4))
    layout = placement.place(with_memory(FLASH, stack, data, arena, other), needs())
    assert [place.linked for place in layout.places] == ["FLASH", "RAM", "STACK", "ARENA"]
    assert layout.of("arena").bank.name == "RAM2+RAM3"
    assert layout.enables == (Enable(0x40, 6),)


def ram_ranges(board: Board, wanted: Needs, arena: tuple[int, int]) -> list[tuple[int, int]]:
    """Return what the plugin counts for a program with RAM of 64 KiB at 0x1000."""
    layout = placement.place(board, wanted)
    stand = Stand(flash=(0, 0x1000), ram=(0x1000, 0x10000), arena=arena)
    made = memory_system.plugin_arguments(memory_system.of_board(board, layout), layout, stand)
    return [
        (made[name], made[name] + made[f"{name}_bytes"]) for name in ("ram", "ram2") if name in made
    ]


def test_each_region_costs_what_it_costs() -> None:
    arena = (0x3000, 0x800)
    # Of the H7, variables and stack lie beside the cache; the arena only when it is small.
    assert ram_ranges(H7, needs(2048), arena) == []
    assert ram_ranges(H7, needs(262_144), arena) == [(0x3000, 0x3800)]
    # The other way round: the cache answers for all but the arena.
    swapped = boards.with_places(H7, {"data": "AXI_SRAM"}, "--place")
    assert ram_ranges(swapped, needs(2048), arena) == [(0x1000, 0x3000), (0x3800, 0x11000)]
    outside = ram_ranges(swapped, needs(2048), (0x9000_0000, 64))
    assert outside == [(0x1000, 0x11000)]
    both = boards.with_places(swapped, {"arena": "SRAM4"}, "--place")
    assert ram_ranges(both, needs(2048), arena) == [(0x1000, 0x11000)]
    # The F7's regions touch: the first of them is beside the cache, wherever the arena ends.
    f7 = boards.load("stm32f7")
    small = replace(f7.memory[2], size_bytes=0x4000)
    f7 = replace(f7, chip=replace(f7.chip, memory=(f7.memory[0], small, *f7.memory[3:])))
    joined = replace(f7.memory[2], address=small.end)
    f7 = replace(f7, chip=replace(f7.chip, memory=(f7.memory[0], small, joined)))
    assert ram_ranges(f7, needs(2048), arena) == [(0x5000, 0x11000)]


def test_wait_states_of_ram_count_only_where_something_lies() -> None:
    slow = Memory("SLOW", ("arena",), 0x6000_0000, 64 * KIB, 7, False)
    board = with_memory(replace(FLASH, wait_states=0), RAM, slow)
    inside = placement.place(board, needs(1024))
    assert memory_system.of_board(board, inside) == memory_system.ZERO_WAIT_STATES
    beside = placement.place(board, needs(32 * KIB))
    model = memory_system.of_board(board, beside)
    assert (model.miss_cycles, model.ram_cycles, model.validated) == (0, 7, None)
    assert ram_ranges(board, needs(32 * KIB), (0x3000, 0x8000)) == [(0x3000, 0xB000)]
    assert memory_system.of_board(board).ram_cycles == 7


def test_place_is_a_choice_of_the_target() -> None:
    target = resolve("stm32h7", place="arena=SRAM1,data=AXI_SRAM")
    found = where(target.board, needs())
    assert (found["arena"], found["data"]) == ("SRAM1", "AXI_SRAM")
    for text in ("arena", "arena=", "=SRAM1", "arena=SRAM1,data"):
        with pytest.raises(UserError, match=r"--place: not a use and a region; got '.*arena=SRAM1"):
            resolve("stm32h7", place=text)
    assert resolve("stm32h7", place="data=AXI_SRAM, arena=SRAM1").board.place == target.board.place
    for text in ("data=DTCM arena=SRAM1", "data=arena=SRAM1"):
        message = r"not a use and a region; got .*arena=SRAM1', expected .* commas between several"
        with pytest.raises(UserError, match=message):
            resolve("stm32h7", place=text)
    with pytest.raises(UserError, match=r"two regions for arena; got SRAM1 and SRAM4, expected"):
        resolve("stm32h7", place="arena=SRAM1,data=DTCM,arena=SRAM4")
    with pytest.raises(UserError, match=r"--place: no region for arena; got SRAM9"):
        resolve("stm32h7", place="arena=SRAM9")


def test_code_and_data_lie_apart() -> None:
    """Else initial values would be copied over the vectors, and two names stand for one memory."""
    one = Memory("ALL", ("code", "weights", "data", "stack"), 0x2000_0000, 256 * KIB, 0, False)
    arena = Memory("AR", ("arena",), 0x2100_0000, 16 * KIB, 0, False)
    message = r"board qemu_m4: code and data lie in one region, .*; got ALL for both, expected"
    with pytest.raises(UserError, match=message):
        placement.place(with_memory(one, arena), needs())
    apart = with_memory(replace(RAM, address=0x3000_0000), one, arena)
    assert where(apart, needs())["data"] == "RAM"
    with pytest.raises(UserError, match=r"got ALL for both.*--place data=REGION"):
        placement.place(boards.with_places(apart, {"data": "ALL"}, "--place"), needs())


@pytest.mark.parametrize(("uses", "refused"), [
    (("arena",), "arena"),
    (("weights",), "weights"),
    (("data", "arena"), "data and arena"),
    (("data", "stack", "arena"), None),
    (("stack", "weights"), None),
])  # fmt: skip
def test_nothing_a_pointer_leads_to_lies_at_address_0(
    uses: tuple[str, ...], refused: str | None
) -> None:
    rest = tuple(use for use in ("weights", "data", "stack", "arena") if use not in uses)
    low = Memory("LOW", uses, 0, 64 * KIB, 0, False)
    code = Memory("CODE", ("code",), 0x0800_0000, 64 * KIB, 0, False)
    board = with_memory(low, code, Memory("REST", rest, 0x2000_0000, 64 * KIB, 0, False))
    if refused is None:
        assert where(board, needs())[uses[0]] == "LOW"
        return
    message = rf"{refused} would start at address 0, .*; got LOW at 0x00000000.*{uses[-1]}=REGION"
    with pytest.raises(UserError, match=message):
        placement.place(board, needs())
    low = replace(low, address=8)
    assert where(with_memory(low, *board.memory[1:]), needs())[uses[0]] == "LOW"


def test_whether_a_stack_that_grows_too_deep_faults() -> None:
    """It does where it comes first in its bank and no other memory ends there."""
    for board, faults in (
        (with_memory(FLASH, RAM), True),
        (with_memory(FLASH, RAM, Memory("B", ("spare",), RAM.address - 512, 512, 0, False)), False),
        (with_memory(FLASH, RAM, Memory("A", ("arena",), RAM.address - 513, 512, 0, False)), True),
        (with_memory(replace(FLASH, use=("code", "weights", "stack")), RAM), True),
        (
            with_memory(
                replace(FLASH, use=("code", "stack")), QSPI, replace(RAM, use=("data", "arena"))
            ),
            False,
        ),
    ):
        assert placement.place(board, needs()).is_stack_guarded(board) == faults, board.memory
