/* nn_walk_asm.h - the inner loops of nested layers, scheduled by hand.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The loops are in nn_walk_asm_4_*.h, _2_*.h and _1_*.h by size of group, each once per core. The rules
 * behind the order: on Cortex-M4 n loads in a row take n + 1 cycles but 2n when something stands between
 * them, and an address computed by the instruction before costs one more; on Cortex-M7 two loads pair if bit
 * 2 of their addresses differs. All instructions are 32 bits wide and 4-byte aligned: neither core likes
 * 32-bit instructions across words. LSLS puts the position byte's bit 7 ("last group") into the carry, which
 * nothing after it touches, so one branch ends the loop. Column p is read at a constant offset from x.
 *
 * twin:      nn_walk_dsp.h, by intrinsics
 * registers: position, weights, x, w, an accumulator per column, and what NN_USES_* adds: at most 14, all
 *            there are without a frame pointer; hence nn_optimize.h
 * flags:     changed; LSLS to the branch that ends the loop keeps the carry
 */
#ifndef NN_WALK_ASM_H
#define NN_WALK_ASM_H

#include "nn_walk.h"

#if NN_KERNELS_USE_M7
#include "nn_walk_asm_1_m7.h"
#include "nn_walk_asm_2_m7.h"
#include "nn_walk_asm_4_m7.h"
#else
#include "nn_walk_asm_1_dsp.h"
#include "nn_walk_asm_2_dsp.h"
#include "nn_walk_asm_4_dsp.h"
#endif

/* The next position byte; bit 7 to the carry, the rest to the top. */
#define NN_POSITION(t) "ldrb.w  %[" #t "], [%[position]], #1\n\t"
#define NN_IS_LAST(t)  "lsls.w  %[" #t "], %[" #t "], #25\n\t"

/* Groups of 2, in pairs a and b: to the first or next group a; from there to b. Their weights. */
#define NN_START_A   "add.w   %[x], %[x], %[a], lsl #2\n\t"
#define NN_STEP_A(t) "add.w   %[x], %[y], %[" #t "], lsl #2\n\t"
#define NN_STEP_B(t) "add.w   %[y], %[x], %[" #t "], lsr #23\n\t"
#define NN_WEIGHTS_2 "ldr.w   %[w], [%[weights]], #4\n\t"
#define NN_SPLIT_A   "sxtb16  %[a], %[w]\n\t"
#define NN_SPLIT_B   "sxtb16  %[w], %[w], ror #8\n\t"

/* Single weights: to the next one; its weight. */
#define NN_STEP_1(t) "add.w   %[x], %[x], %[" #t "], lsr #24\n\t"
#define NN_WEIGHTS_1 "ldrsb.w %[w], [%[weights]], #1\n\t"

/* Load from column p: a pair at a byte offset, or one element; multiply it with weights into accumulator c.
 */
#define NN_PAIR(t, p, byte) "ldr.w   %[" #t "], [%[x], #(%c[step] * " #p " + " #byte ")]\n\t"
#define NN_PAIR_A(t, p)     NN_PAIR(t, p, 0)
#define NN_PAIR_B(t, p)     "ldr.w   %[" #t "], [%[y], #(%c[step] * " #p ")]\n\t"
#define NN_ONE(t, p)        "ldrsh.w %[" #t "], [%[x], #(%c[step] * " #p ")]\n\t"
#define NN_MAC2(c, t, w)    "smlad   %[" #c "], %[" #t "], %[" #w "], %[" #c "]\n\t"
#define NN_MAC1(c, t)       "mla     %[" #c "], %[" #t "], %[w], %[" #c "]\n\t"

/* Registers of a loop. */
#define NN_ACC1  [c0] "=&r"(c0)
#define NN_ACC2  NN_ACC1, [c1] "=&r"(c1)
#define NN_ACC3  NN_ACC2, [c2] "=&r"(c2)
#define NN_ACC4  NN_ACC3, [c3] "=&r"(c3)
#define NN_ACC5  NN_ACC4, [c4] "=&r"(c4)
#define NN_ACC6  NN_ACC5, [c5] "=&r"(c5)
#define NN_ACC7  NN_ACC6, [c6] "=&r"(c6)
#define NN_ACC8  NN_ACC7, [c7] "=&r"(c7)
#define NN_TEMP1 [t0] "=&r"(t0)
#define NN_TEMP2 NN_TEMP1, [t1] "=&r"(t1)
#define NN_TEMP3 NN_TEMP2, [t2] "=&r"(t2)
#define NN_TEMP4 NN_TEMP3, [t3] "=&r"(t3)
#define NN_A     [a] "=&r"(a)
#define NN_Y     [y] "=&r"(y)
#define NN_N     [n] "=&r"(n)

/* Accumulators to zero. */
#define NN_ZERO(c) "mov.w   %[" #c "], #0\n\t"
#define NN_ZERO1   NN_ZERO(c0)
#define NN_ZERO2   NN_ZERO1 NN_ZERO(c1)
#define NN_ZERO3   NN_ZERO2 NN_ZERO(c2)
#define NN_ZERO4   NN_ZERO3 NN_ZERO(c3)
#define NN_ZERO5   NN_ZERO4 NN_ZERO(c4)
#define NN_ZERO6   NN_ZERO5 NN_ZERO(c5)
#define NN_ZERO7   NN_ZERO6 NN_ZERO(c6)
#define NN_ZERO8   NN_ZERO7 NN_ZERO(c7)

/* For each level: fetch the cursor, walk the segment, store the cursor. walk leaves the flags of comparing
 * the next cursor's address, in x, with the end. The walker stays in memory: the walk needs the registers. */
#define NN_LEVELS(zero, walk, ...)                                                                  \
    __asm__ volatile(".balign 4\n\t" zero "2:\n\t"                                                  \
                     "str.w   %[x], %[at]\n\t"                                                      \
                     "ldrd    %[position], %[weights], [%[x]]\n\t"                                  \
                     "ldr.w   %[x], %[patch]\n\t" walk "bne.w   2b"                                 \
                     : [at] "=m"(walker->at), [position] "=&r"(position), [weights] "=&r"(weights), \
                       [x] "+&r"(x), [w] "=&r"(w), __VA_ARGS__                                      \
                     : [end] "m"(walker->end), [patch] "m"(walker->patch), [step] "i"(2 * step)     \
                     : "cc", "memory")

/* x = address of this level's cursor and e = the end; store the cursor, x = the next, compare. */
#define NN_FETCH_AT     "ldr.w   %[x], %[at]\n\t"
#define NN_FETCH_END(e) "ldr.w   %[" #e "], %[end]\n\t"
#define NN_LEAVE(e)                                   \
    "strd    %[position], %[weights], [%[x]], #8\n\t" \
    "cmp.w   %[x], %[" #e "]\n\t"

/* A pass steps to the next group, so the last group has a copy of its own. */
#define NN_WALK_SEGMENTS(shape, group, columns)                                                           \
    NN_LEVELS(NN_ZERO##columns,                                                                           \
              NN_ENTER_##group "bcs.w   3f\n1:\n\t" NN_LOOP_##shape "bcc.w   1b\n3:\n\t" NN_LAST_##shape, \
              NN_USES_##shape)
#define NN_WALK_CASE(group, columns)                         \
    case 10 * group + columns:                               \
        NN_WALK_SEGMENTS(group##X##columns, group, columns); \
        break;

NN_INLINE int nn_walk_asm(int32_t group, int32_t tile, int32_t step, nn_walker *walker,
                          int32_t acc[NN_TILE_MAX])
{
    const uint8_t *position;
    const int8_t *weights;
    const void *x = walker->cursor, *y;
    uint32_t w, a, n, t0, t1, t2, t3;
    int32_t c0 = 0, c1 = 0, c2 = 0, c3 = 0, c4 = 0, c5 = 0, c6 = 0, c7 = 0;
    if (!__builtin_constant_p(step) || 2 * (tile - 1) * step + 4 > 4095) {
        return 0; /* without optimization, or with a column out of reach of a load's immediate offset */
    }
    switch (10 * group + tile) {
        NN_WALK_CASE(4, 1)
        NN_WALK_CASE(4, 2)
        NN_WALK_CASE(4, 3)
        NN_WALK_CASE(2, 1)
        NN_WALK_CASE(2, 2)
        NN_WALK_CASE(2, 3)
        NN_WALK_CASE(1, 1)
        NN_WALK_CASE(1, 2)
        NN_WALK_CASE(1, 3)
        NN_WALK_CASE(1, 4)
        NN_WALK_CASE(1, 5)
        NN_WALK_CASE(4, 4)
        NN_WALK_CASE(4, 5)
        NN_WALK_CASE(4, 6)
        NN_WALK_CASE(2, 4)
        NN_WALK_CASE(2, 5)
        NN_WALK_CASE(2, 6)
        NN_WALK_CASE(1, 6)
        NN_WALK_CASE(1, 7)
        NN_WALK_CASE(1, 8)
    default:
        return 0;
    }
    acc[0] = c0;
    acc[1] = c1;
    acc[2] = c2;
    acc[3] = c3;
    acc[4] = c4;
    acc[5] = c5;
    acc[6] = c6;
    acc[7] = c7;
    return 1;
}

#endif
