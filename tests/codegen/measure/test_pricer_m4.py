"""The Cortex-M4 table, instruction by instruction, and a loop counted by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from codegen.measure.pipelines.decode import Instruction
from codegen.measure.pipelines.pricer_m4 import CortexM4
from codegen.measure.pipelines.trace import steady_cycles, steps

Assemble = Callable[[str], tuple[Instruction, ...]]

# Straight-line code from address 0, entered by a jump. Cycles are the sum of the table's rows.
STRAIGHT: list[tuple[str, int]] = [
    ("adds r0, r1, r2", 1),
    ("sxtb16 r0, r1", 1),
    ("clz r0, r1; ssat r2, #8, r3; qadd r4, r5, r6", 3),
    ("smlad r0, r1, r2, r3", 1),
    ("smull r0, r1, r2, r3; smlald r0, r1, r2, r3; umull r0, r1, r2, r3", 3),
    ("udiv r0, r1, r2", 6),
    ("ldr r0, [r1]", 2),
    ("ldr r0, [r1]; ldr r2, [r3]; ldr r4, [r5]", 4),  # n loads: n + 1
    ("ldr r0, [r1]; ldr r2, [r0]", 4),  # the address comes from the load before
    ("ldr r0, [r1], #4; ldr r2, [r1], #4", 4),  # so does a written-back base
    ("ldr r0, [r1], #4; ldr r2, [r3], #4", 3),
    ("ldrb r0, [r1, #1]; ldrsh r2, [r3, #2]", 3),
    ("str r0, [r1]", 1),
    ("str r0, [r1], #4", 1),
    ("str r0, [r1, r2]", 2),
    ("ldr r0, [r1]; str r2, [r3]", 2),
    ("ldr r0, [r1]; str r2, [r3, r4]", 3),
    ("str r0, [r1]; ldr r2, [r3]", 4),
    ("str r0, [r1]; str r2, [r3]", 2),
    ("adds r0, r1, r2; ldr r3, [r0]", 4),  # the sum is the next address: one stall
    ("adds r0, r1, r2; nop; ldr r3, [r0]", 4),
    ("adds r0, r1, r2; str r3, [r0]", 3),
    ("adds r0, r1, r2; str r0, [r3]", 2),  # store data does not stall
    ("ldrd r0, r1, [r2]", 3),
    ("ldr r0, [r1]; ldrd r2, r3, [r4]", 5),
    ("ldrd r2, r3, [r4]; ldr r0, [r1]", 5),
    ("ldmia r0!, {r1, r2, r3, r4}", 5),
    ("push {r4, r5, lr}", 4),
    ("strd r0, r1, [r2]", 3),
    ("cmp r0, r1; it eq; moveq r2, r3", 2),  # IT folds into the 16-bit CMP
    ("cmp.w r0, r1; it eq; moveq r2, r3", 3),
    ("vadd.f32 s0, s1, s2; vadd.f32 s3, s4, s5", 2),
    ("vadd.f32 s0, s1, s2; vadd.f32 s3, s0, s5", 3),
    ("vfma.f32 s0, s1, s2", 3),
    ("vdiv.f32 s0, s1, s2", 14),
    ("vsqrt.f32 s0, s1", 14),
    ("vldr s0, [r1]", 2),
    ("vldr d0, [r1]", 3),
    ("vldmia r0!, {s1-s4}", 5),
    ("vmov s0, r1; vmov r2, s3", 2),
    # Three 32-bit instructions off the word grid cost one fetch; two do not; on the grid none.
    ("nop; add.w r0, r1, r2; add.w r3, r4, r5; add.w r6, r7, r8", 5),
    ("nop; add.w r0, r1, r2; add.w r3, r4, r5; nop", 4),
    ("add.w r0, r1, r2; add.w r3, r4, r5; add.w r6, r7, r8; add.w r6, r7, r8", 4),
    ("nop; " + "add.w r0, r1, r2; " * 7 + "nop", 10),  # once per run, however long
]


@pytest.mark.parametrize(("text", "cycles"), STRAIGHT)
def test_straight_line(assemble: Assemble, text: str, cycles: int) -> None:
    assert CortexM4().cycles(steps(assemble(text), taken=False)) == cycles


LEAVING: list[tuple[str, int, int]] = [
    # text, cycles when taken, cycles when not taken (the same if unconditional)
    ("b .+20", 3, 3),
    ("beq .+20", 3, 1),
    ("cbz r0, .+20", 3, 1),
    ("bl .+20", 3, 3),
    ("bx lr", 3, 3),
    ("blx r3", 3, 3),
    ("pop {r4, r5, pc}", 6, 6),
    ("ldr pc, [r0]", 5, 5),
    ("tbb [pc, r0]", 6, 6),
]


@pytest.mark.parametrize(("text", "taken", "not_taken"), LEAVING)
def test_branches(assemble: Assemble, text: str, taken: int, not_taken: int) -> None:
    block = assemble(text)
    assert CortexM4().cycles(steps(block, taken=True)) == taken
    assert CortexM4().cycles(steps(block, taken=False)) == not_taken


def test_wide_branch_target_off_the_word_grid(assemble: Assemble) -> None:
    _, *body = assemble("nop; add.w r0, r1, r2; subs r3, #1; bne .-6")
    # 1 for the ADD at address 2 + 1 to fetch its second half + 1 + 3 for the taken branch.
    assert steady_cycles(CortexM4(), steps(body, taken=True)) == 6
    aligned = assemble("add.w r0, r1, r2; subs r3, #1; bne .-6")
    assert steady_cycles(CortexM4(), steps(aligned, taken=True)) == 5


def test_dot_product_loop_counted_by_hand(assemble: Assemble) -> None:
    loop = assemble(
        """
        loop:
        ldr r4, [r0], #4        @ 2  first of two loads
        ldr r5, [r1], #4        @ 1  other base: pipelined
        smlad r2, r4, r5, r2    @ 1
        ldr r4, [r0], #4        @ 2
        ldr r5, [r1], #4        @ 1
        smlad r3, r4, r5, r3    @ 1
        subs r6, #1             @ 1
        bne loop                @ 3  taken: 1 + refill of 2
        """
    )
    assert [i.size for i in loop] == [4, 4, 4, 4, 4, 4, 2, 2]  # all on the word grid
    assert steady_cycles(CortexM4(), steps(loop, taken=True)) == 12


def test_grouped_loads_are_cheaper(assemble: Assemble) -> None:
    spread = assemble("ldr r0, [r1]; add.w r4, r4, r0; ldr r2, [r3]; add.w r4, r4, r2")
    grouped = assemble("ldr r0, [r1]; ldr r2, [r3]; add.w r4, r4, r0; add.w r4, r4, r2")
    model = CortexM4()
    # Both run on and off the grid the same way: 16-bit loads, 32-bit adds.
    assert model.cycles(steps(spread, taken=False)) == 6
    assert model.cycles(steps(grouped, taken=False)) == 5
