/* nn_walk_fast.h (DSP) - the inner loops of nested layers, scheduled by hand.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The loops over groups of 4 are in nn_walk_4.h, one file per core; those over smaller groups, here, serve
 * both. The rules behind the order: on Cortex-M4 n loads in a row take n + 1 cycles but 2n when something
 * stands between them, and an address computed by the instruction before costs one more; on Cortex-M7 two
 * loads pair if bit 2 of their addresses differs. All instructions are 32 bits wide and 4-byte aligned:
 * neither core likes 32-bit instructions across words. LSLS puts the position byte's bit 7 ("last group")
 * into the carry, which nothing after it touches, so one branch ends the loop. Column p is read at a constant
 * offset from x. Up to 14 registers are used, all there are; NN_FRAME_POINTER takes one and leaves such tiles
 * to compiled code.
 *
 * check: instructions per pass at groups of 4: 7 + 4 per column; groups of 2, two groups: 9 + 4 per column;
 * groups of 1: 5 + 2 per column.
 */
#include <nn_walk_4.h> /* by the include path: the core's own */

/* The next two groups of 2, one after the other; a and w become their weights. */
#define NN_FIRST_GROUP_OF_2                 \
    "ldrb.w  %[t0], [%[position]], #1\n\t"  \
    "ldr.w   %[w], [%[weights]], #4\n\t"    \
    "add.w   %[x], %[x], %[t0], lsl #2\n\t" \
    "sxtb16  %[a], %[w]\n\t"                \
    "sxtb16  %[w], %[w], ror #8\n\t"
#define NN_SECOND_GROUP_OF_2               \
    "ldrb.w  %[t0], [%[position]], #1\n\t" \
    "lsls.w  %[t0], %[t0], #25\n\t"        \
    "add.w   %[x], %[x], %[t0], lsr #23\n\t"

/* The next weight. */
#define NN_GROUP_OF_1                      \
    "ldrb.w  %[t0], [%[position]], #1\n\t" \
    "ldrsb.w %[w], [%[weights]], #1\n\t"   \
    "lsls.w  %[t0], %[t0], #25\n\t"        \
    "add.w   %[x], %[x], %[t0], lsr #24\n\t"

/* Load from column p: a pair at a byte offset, or one element; multiply it with weights into accumulator c.
 */
#define NN_PAIR(t, p, byte) "ldr.w   %[" #t "], [%[x], #(%c[step] * " #p " + " #byte ")]\n\t"
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
#define NN_ACC8  NN_ACC6, [c6] "=&r"(c6), [c7] "=&r"(c7)
#define NN_TEMP1 [t0] "=&r"(t0)
#define NN_TEMP2 NN_TEMP1, [t1] "=&r"(t1)
#define NN_TEMP3 NN_TEMP2, [t2] "=&r"(t2)
#define NN_TEMP4 NN_TEMP3, [t3] "=&r"(t3)
#define NN_A     [a] "=&r"(a)
#define NN_N     [n] "=&r"(n)

/* Accumulators to zero. */
#define NN_ZERO(c) "mov.w   %[" #c "], #0\n\t"
#define NN_ZERO1   NN_ZERO(c0)
#define NN_ZERO2   NN_ZERO1 NN_ZERO(c1)
#define NN_ZERO3   NN_ZERO2 NN_ZERO(c2)
#define NN_ZERO4   NN_ZERO3 NN_ZERO(c3)
#define NN_ZERO5   NN_ZERO4 NN_ZERO(c4)
#define NN_ZERO6   NN_ZERO5 NN_ZERO(c5)
#define NN_ZERO8   NN_ZERO6 NN_ZERO(c6) NN_ZERO(c7)

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

/* Groups of 2 and 1: every pass fetches its own position. */
#define NN_LOOP(zero, body, ...) \
    NN_LEVELS(zero, "1:\n\t" body "bcc.w   1b\n\t" NN_FETCH_AT NN_FETCH_END(w) NN_LEAVE(w), __VA_ARGS__)

/* Groups of 4: a pass fetches the next one's position, the last group has a copy of its own. */
#define NN_WALK_4(zero, loop, last, ...) \
    NN_LEVELS(zero, NN_ENTER_4 "bcs.w   3f\n1:\n\t" loop "bcc.w   1b\n3:\n\t" last, __VA_ARGS__)

/* clang-format off */
#define NN_LOOP_2X1                                                                      \
    NN_LOOP(NN_ZERO1, NN_FIRST_GROUP_OF_2 NN_PAIR(t0, 0, 0) NN_MAC2(c0, t0, a)                     \
            NN_SECOND_GROUP_OF_2 NN_PAIR(t0, 0, 0) NN_MAC2(c0, t0, w),                   \
            NN_ACC1, NN_TEMP1, NN_A)
#define NN_LOOP_2X2                                                                      \
    NN_LOOP(NN_ZERO2, NN_FIRST_GROUP_OF_2 NN_PAIR(t0, 0, 0) NN_PAIR(t1, 1, 0)                      \
            NN_MAC2(c0, t0, a) NN_MAC2(c1, t1, a)                                        \
            NN_SECOND_GROUP_OF_2 NN_PAIR(t0, 0, 0) NN_PAIR(t1, 1, 0)                     \
            NN_MAC2(c0, t0, w) NN_MAC2(c1, t1, w),                                       \
            NN_ACC2, NN_TEMP2, NN_A)
#define NN_LOOP_2X3                                                                      \
    NN_LOOP(NN_ZERO3, NN_FIRST_GROUP_OF_2 NN_PAIR(t0, 0, 0) NN_PAIR(t1, 1, 0) NN_PAIR(t2, 2, 0)    \
            NN_MAC2(c0, t0, a) NN_MAC2(c1, t1, a) NN_MAC2(c2, t2, a)                     \
            NN_SECOND_GROUP_OF_2 NN_PAIR(t0, 0, 0) NN_PAIR(t1, 1, 0) NN_PAIR(t2, 2, 0)   \
            NN_MAC2(c0, t0, w) NN_MAC2(c1, t1, w) NN_MAC2(c2, t2, w),                    \
            NN_ACC3, NN_TEMP3, NN_A)
#define NN_LOOP_2X4                                                                      \
    NN_LOOP(NN_ZERO4, NN_FIRST_GROUP_OF_2 NN_PAIR(t0, 0, 0) NN_PAIR(t1, 1, 0) NN_PAIR(t2, 2, 0) NN_PAIR(t3, 3, 0)  \
            NN_MAC2(c0, t0, a) NN_MAC2(c1, t1, a) NN_MAC2(c2, t2, a) NN_MAC2(c3, t3, a)  \
            NN_SECOND_GROUP_OF_2 NN_PAIR(t0, 0, 0) NN_PAIR(t1, 1, 0) NN_PAIR(t2, 2, 0) NN_PAIR(t3, 3, 0) \
            NN_MAC2(c0, t0, w) NN_MAC2(c1, t1, w) NN_MAC2(c2, t2, w) NN_MAC2(c3, t3, w), \
            NN_ACC4, NN_TEMP4, NN_A)

#define NN_LOOP_1X1                                                                      \
    NN_LOOP(NN_ZERO1, NN_GROUP_OF_1 NN_ONE(t0, 0) NN_MAC1(c0, t0), NN_ACC1, NN_TEMP1)
#define NN_LOOP_1X4                                                                      \
    NN_LOOP(NN_ZERO4, NN_GROUP_OF_1 NN_ONE(t0, 0) NN_ONE(t1, 1) NN_ONE(t2, 2) NN_ONE(t3, 3)        \
            NN_MAC1(c0, t0) NN_MAC1(c1, t1) NN_MAC1(c2, t2) NN_MAC1(c3, t3),             \
            NN_ACC4, NN_TEMP4)
#define NN_LOOP_1X8                                                                      \
    NN_LOOP(NN_ZERO8, NN_GROUP_OF_1                                                                \
            NN_ONE(t0, 0) NN_MAC1(c0, t0) NN_ONE(t0, 1) NN_MAC1(c1, t0)                  \
            NN_ONE(t0, 2) NN_MAC1(c2, t0) NN_ONE(t0, 3) NN_MAC1(c3, t0)                  \
            NN_ONE(t0, 4) NN_MAC1(c4, t0) NN_ONE(t0, 5) NN_MAC1(c5, t0)                  \
            NN_ONE(t0, 6) NN_MAC1(c6, t0) NN_ONE(t0, 7) NN_MAC1(c7, t0),                 \
            NN_ACC8, NN_TEMP1)
/* clang-format on */

NN_INLINE int nn_walk_fast(int32_t group, int32_t tile, int32_t step, nn_walker *walker,
                           int32_t acc[NN_TILE_MAX])
{
    const uint8_t *position;
    const int8_t *weights;
    const void *x = walker->cursor;
    uint32_t w, a, n, t0, t1, t2, t3;
    int32_t c0 = 0, c1 = 0, c2 = 0, c3 = 0, c4 = 0, c5 = 0, c6 = 0, c7 = 0;
    if (!__builtin_constant_p(step) || 2 * (tile - 1) * step + 4 > 4095) {
        return 0; /* without optimization, or with a column out of reach of a load's immediate offset */
    }
    switch (10 * group + tile) {
    case 41:
        NN_WALK_4(NN_ZERO1, NN_LOOP_4X1, NN_LAST_4X1, NN_USES_4X1);
        break;
    case 42:
        NN_WALK_4(NN_ZERO2, NN_LOOP_4X2, NN_LAST_4X2, NN_USES_4X2);
        break;
    case 43:
        NN_WALK_4(NN_ZERO3, NN_LOOP_4X3, NN_LAST_4X3, NN_USES_4X3);
        break;
#if !NN_FRAME_POINTER
    case 44:
        NN_WALK_4(NN_ZERO4, NN_LOOP_4X4, NN_LAST_4X4, NN_USES_4X4);
        break;
    case 45:
        NN_WALK_4(NN_ZERO5, NN_LOOP_4X5, NN_LAST_4X5, NN_USES_4X5);
        break;
    case 46:
        NN_WALK_4(NN_ZERO6, NN_LOOP_4X6, NN_LAST_4X6, NN_USES_4X6);
        break;
#endif
    case 21:
        NN_LOOP_2X1;
        break;
    case 22:
        NN_LOOP_2X2;
        break;
    case 23:
        NN_LOOP_2X3;
        break;
    case 24:
        NN_LOOP_2X4;
        break;
    case 11:
        NN_LOOP_1X1;
        break;
    case 14:
        NN_LOOP_1X4;
        break;
    case 18:
        NN_LOOP_1X8;
        break;
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
