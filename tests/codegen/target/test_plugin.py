"""The emulator plugin against programs whose every count is known."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from codegen.measure.pipelines import elf
from codegen.measure.pipelines.estimate import Estimate, estimate, executed
from codegen.target import boards, memory_system, placement
from codegen.target.emulator import counts, plugin
from codegen.target.emulator.counts import Counts
from codegen.target.memory_system import Geometry, Memory, Stand
from codegen.target.placement import Needs

# A vector table, the markers, the code under test between them, and exit by semihosting.
PROGRAM = """
.syntax unified
.thumb
.cpu cortex-m4
.text
.word 0x20010000
.word _start + 1
.type _start, %function
.global _start
_start:
    bl nn_mark_begin
    bl measured
    bl nn_mark_end
    movs r0, #0x18
    ldr r1, =0x20026
    bkpt 0xab
    b .
.pool
.type nn_mark_begin, %function
nn_mark_begin: bx lr
.size nn_mark_begin, . - nn_mark_begin
.type nn_mark_end, %function
nn_mark_end: bx lr
.size nn_mark_end, . - nn_mark_end
.balign 64
.type measured, %function
measured:
@CODE@
    bx lr
.balign 64
.size measured, . - measured
"""

Run = Callable[[str, Memory], tuple[Counts, Path]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that assembles code, runs it under QEMU and returns the counts."""
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")

    def call(code: str, model: Memory) -> tuple[Counts, Path]:
        source, program, out = (tmp_path / name for name in ("p.s", "p.elf", "counts.txt"))
        source.write_text(PROGRAM.replace("@CODE@", code))
        subprocess.run(
            ["arm-none-eabi-gcc", "-nostdlib", "-Ttext=0", "-o", program, source], check=True
        )
        emulator = boards.load("qemu_m4")
        assert emulator.qemu_machine is not None
        layout = placement.place(emulator, Needs(0, 8, 0, 0))
        flash, ram = layout.of("code").bank, layout.of("data").bank
        stand = Stand((flash.address, flash.size_bytes), (ram.address, ram.size_bytes), (0, 0))
        cached = tuple(replace(r, cached=True) for r in ram.regions)
        chip = replace(emulator.chip, memory=(*flash.regions, *cached))
        behind = placement.place(replace(emulator, chip=chip), Needs(0, 8, 0, 0))
        simulated = memory_system.plugin_arguments(model, behind, stand)
        arguments = counts.plugin_arguments(program, 1, out, simulated)
        option = ",".join(f"{key}={value}" for key, value in arguments.items())
        command = ["qemu-system-arm", "-machine", emulator.qemu_machine, "-nographic"]
        command += ["-monitor", "none", "-serial", "none", "-semihosting", "-kernel", str(program)]
        command += ["-plugin", f"file={plugin.build()},{option}"]
        subprocess.run(command, check=False, timeout=60)
        return counts.read(out), program

    return call


def price(recorded: Counts, program: Path, core: str, model: Memory) -> Estimate:
    blocks = executed(recorded, elf.image(program), 0)
    return estimate(blocks, core, model, counts.functions(program))


LOOP = """
    movs r0, #100
1:  adds r1, r1, r2
    subs r0, #1
    bne 1b
"""


def test_fall_throughs_of_a_counted_loop(run: Run) -> None:
    recorded, program = run(LOOP, memory_system.ZERO_WAIT_STATES)
    by_end: dict[int, tuple[int, int]] = {}
    for block in recorded.blocks:
        end = block.address + block.size_bytes
        before = by_end.get(end, (0, 0))
        by_end[end] = (before[0] + block.executions[0], before[1] + block.fall_throughs[0])
    branch_end = next(f.address for f in counts.functions(program) if f.name == "measured") + 8
    assert by_end[branch_end] == (100, 1)  # the branch: executed 100 times, not taken once
    # bl, movs, 100 passes of 3, bx: nothing else is between the markers but the BL to the end.
    assert recorded.instructions()[0] == 1 + 1 + 300 + 1 + 1


def test_estimates_of_a_counted_loop(run: Run) -> None:
    recorded, program = run(LOOP, memory_system.ZERO_WAIT_STATES)
    on_m4 = price(recorded, program, "cortex-m4", memory_system.ZERO_WAIT_STATES)
    # MOVS 1; passes: ADDS 1, SUBS 1, BNE 3 (last one 1); BX 3.
    assert on_m4.by_function["measured"].cycles.low == 1 + 99 * 5 + 3 + 3
    on_m7 = price(recorded, program, "cortex-m7", memory_system.ZERO_WAIT_STATES)
    # First pass: MOVS with ADDS, SUBS with BNE: 2. The 99 others: ADDS with SUBS, then BNE: 2 each.
    # BX cannot join BNE, there is one branch unit: 1. The exit is mispredicted: 8.
    assert on_m7.by_function["measured"].cycles.low == 2 + 99 * 2 + 1 + 8
    assert on_m7.cycles == on_m7.total.cycles.high


def test_cache_events(run: Run) -> None:
    # 16 words of flash read twice through a data cache of 4 lines of 16 bytes: 4 misses, then
    # hits; through one of 2 lines: 4 misses each time. 8 stores then go to RAM.
    code = """
    movs r3, #2
2:  adr r1, 3f
    movs r0, #16
1:  ldr r2, [r1], #4
    subs r0, #1
    bne 1b
    subs r3, #1
    bne 2b
    mov r1, #0x20000000
    movs r0, #8
1:  str r2, [r1], #32
    subs r0, #1
    bne 1b
    bx lr
    .balign 64
3:  .space 64
    """
    for ways, misses in ((4, 4), (2, 8)):
        cache = Geometry(sets=1, ways=ways, line_bytes=16)
        model = Memory(
            "test", "a test", Geometry(1, 64, 8), cache, ram_cycles=7, miss_cycles=7,
            store_miss_cycles=3,
        )  # fmt: skip
        recorded, program = run(code, model)
        events = [block.events[0] for block in recorded.blocks]
        assert sum(e.load_misses for e in events) == misses
        assert sum(e.flash_loads for e in events) == 32
        assert sum(e.store_misses for e in events) == 8
        assert sum(e.cached_ram_accesses for e in events) == 8
        # Code: the BL before (half of its sector), 38 bytes of `measured`, the BL after.
        fetched = sum(e.instruction_misses for e in events)
        plain = price(recorded, program, "cortex-m4", memory_system.ZERO_WAIT_STATES)
        slow = price(recorded, program, "cortex-m4", model)
        assert plain.cycles is not None and slow.cycles is not None
        assert slow.cycles - plain.cycles == 7 * (misses + fetched) + 3 * 8
        assert 5 <= fetched <= 8


def test_unvalidated_memory_gives_a_range(run: Run) -> None:
    model = Memory("slow flash", None, miss_cycles=3, fetch_bytes=16)
    recorded, program = run(LOOP, model)
    result = price(recorded, program, "cortex-m4", model)
    assert result.cycles is None
    assert "range" in result.note
    # Upper end: every execution of every block fetches its 16-byte lines again, three cycles each.
    # The loop and its surroundings lie within one line.
    blocks = sum(block.executions[0] for block in recorded.blocks)
    assert result.total.cycles.high - result.total.cycles.low >= 3 * blocks
