"""The Cortex-M7 rules: pairs, latencies, units, and a loop counted by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from codegen.measure.pipelines.decode import Instruction
from codegen.measure.pipelines.pricer_m7 import CortexM7
from codegen.measure.pipelines.trace import steady_cycles, steps

Assemble = Callable[[str], tuple[Instruction, ...]]

# Straight-line code; n cycles means the last instruction issued in cycle n.
STRAIGHT: list[tuple[str, float]] = [
    ("nop", 1),
    # Pairs
    ("eors r0, r1; eors r2, r3", 1),
    ("eors r0, r1; eors r2, r3; eors r4, r5", 2),
    ("str r0, [r1]; str r2, [r3]", 2),  # one store unit
    ("str r0, [r1]; ldr r2, [r3]", 1),
    ("smlad r0, r1, r2, r0; smlad r3, r4, r5, r3", 2),  # one multiplier
    ("smlad r0, r1, r2, r0; str r3, [r4]", 2),
    ("str r3, [r4]; smlad r0, r1, r2, r0", 2),
    ("smlad r0, r1, r2, r0; ldr r3, [r4]", 1),
    ("ldr r3, [r4]; smlad r0, r1, r2, r0", 1),  # the multiplier serves either slot
    ("vadd.f32 s0, s1, s2; vmul.f32 s3, s4, s5", 2),
    ("vadd.f32 s0, s1, s2; eors r0, r1", 1),
    ("add r0, r1, r2, lsl #1; add r3, r4, r5, lsl #1", 2),  # one early shifter
    ("lsls r0, r1, #1; lsls r2, r3, #1", 2),
    ("lsls r0, r1, #1; eors r2, r3", 1),
    ("ubfx r0, r1, #2, #3; add r3, r4, r5, lsl #1", 2),
    ("rev r0, r1; eors r2, r3", 1),
    ("eors r2, r3; rev r0, r1", 2),  # DSP and bitfield: older slot only
    ("sxtb16 r0, r1; ssat r2, #8, r3", 2),
    ("sxtb16 r0, r1; smlad r2, r3, r4, r2", 1),
    ("ldr r0, [r1]; ldr r2, [r1, #4]", 1),  # different banks
    ("ldr r0, [r1]; ldr r2, [r1, #8]", 2),  # same bank
    ("ldr r0, [r1]; ldr r2, [r3]", 1.5),  # unrelated: half of the time
    ("ldr r0, [r1], #4; ldr r2, [r1, #4]", 2),  # the base was just written back
    ("ldrd r0, r1, [r2]; eors r4, r5", 2),  # alone
    ("eors r4, r5; ldrd r0, r1, [r2]", 2),
    ("ldmia r0!, {r1-r6}", 3),
    ("push {r4, r5, lr}", 2),
    ("udiv r0, r1, r2", 7),
    ("udiv r0, r1, r2; eors r0, r3", 8),
    # Latencies
    ("eors r0, r1; eors r0, r2", 2),
    ("adds r0, r1, r2; eors r3, r0", 1),  # ADD, SUB, MOV forward to the younger slot
    ("movs r0, #1; subs r3, r0, #1", 1),
    ("eors r0, r1; ldr r2, [r0]", 3),  # address: 2
    ("adds r0, r1, r2; ldr r3, [r0]", 3),
    ("eors r0, r1; add r2, r3, r0, lsl #2", 3),  # shifted operand: 2
    ("eors r0, r1; mul r2, r0, r3", 2),
    ("sxtb16 r0, r1; smlad r2, r0, r3, r2", 2),
    ("ldr r0, [r1]; eors r0, r2", 2),
    ("ldr r0, [r1]; ldr r2, [r0]", 3),
    ("ldr r0, [r1]; smlad r2, r0, r3, r2", 3),
    ("ldrb r0, [r1]; eors r0, r2", 3),
    ("ldrh r0, [r1]; smlabb r2, r0, r3, r2", 4),
    ("ldrb r0, [r1]; ldr r2, [r0]", 4),
    ("mul r0, r1, r2; eors r0, r3", 3),
    ("mul r0, r1, r2; ldr r3, [r0]", 3),
    ("smlad r0, r1, r2, r0; smlad r0, r3, r4, r0", 2),  # accumulator chain: 1
    ("smlad r0, r1, r2, r0; smlad r5, r0, r4, r5", 3),
    ("eors r0, r1; str r0, [r2]", 1),  # store data: 0
    ("ldr r0, [r1]; str r0, [r2]", 1),
    ("vadd.f32 s0, s1, s2; vadd.f32 s3, s0, s4", 4),
    ("vfma.f32 s0, s1, s2; vfma.f32 s0, s3, s4", 4),  # accumulator: 3
    ("vfma.f32 s0, s1, s2; vfma.f32 s5, s0, s4", 6),  # multiplicand: 5
    ("vdiv.f32 s0, s1, s2; vadd.f32 s3, s0, s4", 17),
    ("vsqrt.f32 s0, s1; vadd.f32 s3, s0, s4", 15),
    # In order: the second waits for the first, the third may not overtake.
    ("ldrb r0, [r1]; eors r0, r2; eors r3, r4", 3),
    ("subs r0, #1; bne .-2", 1),  # the branch takes the flags of its own cycle
]


@pytest.mark.parametrize(("text", "cycles"), STRAIGHT)
def test_straight_line(assemble: Assemble, text: str, cycles: float) -> None:
    assert CortexM7().cycles(steps(assemble(text), taken=False)) == cycles


def test_nothing_pairs_across_a_taken_branch(assemble: Assemble) -> None:
    b, nop = assemble("b .+2; eors r0, r1")
    model = CortexM7()
    assert model.cycles((*steps([b], taken=True), *steps([nop], taken=False))) == 2


def test_dot_product_loop_counted_by_hand(assemble: Assemble) -> None:
    loop = assemble(
        """
        loop:
        ldr r4, [r0], #8        @ cycle 0 older
        ldr r6, [r0, #-4]       @ cycle 1: its base was just written back
        ldr r5, [r1], #8        @ cycle 1 or 2: bank against the load above unknown
        ldr r7, [r1, #-4]       @ next cycle: written back base again
        smlad r2, r4, r5, r2    @ r5 is ready two cycles after its load
        smlad r3, r6, r7, r3    @ one multiplier, r7 ready two cycles after its load
        subs r8, #1             @ pairs with the SMLAD above
        bne loop                @ next cycle, alone (the loop's head starts a new one)
        """
    )
    # Banks apart: loads in cycles 0, 1, 1, 2; SMLAD 3, 4; SUBS 4; BNE 5: six cycles a pass.
    # Same bank: loads in cycles 0, 1, 2, 3; SMLAD 4, 5; SUBS 5; BNE 6: seven. Half of each: 6.5.
    assert steady_cycles(CortexM7(), steps(loop, taken=True)) == 6.5


def test_interleaving_loads_and_multiplies_fills_both_slots(assemble: Assemble) -> None:
    # Each multiply-accumulate pairs with a load for the pass after it, and the counter with its
    # branch: five pairs, five cycles.
    loop = assemble(
        """
        loop:
        smlad r2, r4, r8, r2
        ldr r4, [r0]
        smlad r3, r5, r8, r3
        ldr r5, [r0, #4]
        smlad r2, r6, r8, r2
        ldr r6, [r0, #8]
        smlad r3, r7, r8, r3
        ldr r7, [r0, #12]
        subs r1, #1
        bne loop
        """
    )
    assert steady_cycles(CortexM7(), steps(loop, taken=True)) == 5
