/* nn_walk_asm_4_m7.h - loops over groups of 4, scheduled for two slots.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * One multiply-accumulate a cycle and something beside it: two loads pair if bit 2 of their addresses
 * differs, two multiplies never do; SXTB16 takes the older slot. From position byte to multiplication takes 9
 * cycles of latency, so the position of the next group is fetched at the start of a pass, its weights at the
 * end, both into n. NN_LOOP_4XP does a group and steps to the next, leaving the carry set if that is its
 * segment's last; NN_LAST_4XP does a group and stops. Rotating few temporaries is enough: a load is used two
 * cycles later.
 *
 * check:  NN_LOOP_4XP has 6 + 4 * P instructions, P = 1 .. 6
 * check:  NN_LAST_4XP has 6 + 4 * P instructions, P = 1 .. 6
 * cycles: in the comment over each loop, its branch included, by the pipeline model of Cortex-M7
 */
#ifndef NN_WALK_ASM_4_M7_H
#define NN_WALK_ASM_4_M7_H

/* What precedes a segment's first group. */
#define NN_ENTER_4 NN_NEXT_POSITION NN_NEXT_LAST NN_NEXT_X NN_NEXT_WEIGHTS

#define NN_SPLIT_LOW  "sxtb16  %[a], %[n]\n\t"
#define NN_SPLIT_HIGH "sxtb16  %[w], %[n], ror #8\n\t"

/* The position byte of the next group; its last bit to the carry; x moves there; its weights. */
#define NN_NEXT_POSITION "ldrb.w  %[n], [%[position]], #1\n\t"
#define NN_NEXT_LAST     "lsls.w  %[n], %[n], #25\n\t"
#define NN_NEXT_X        "add.w   %[x], %[x], %[n], lsr #22\n\t"
#define NN_NEXT_WEIGHTS  "ldr.w   %[n], [%[weights]], #4\n\t"

/* clang-format off */
/* 1 column: 11 instructions, 7 cycles a group, 4 for the last. */
#define NN_LOOP_4X1                                                                              \
    NN_SPLIT_LOW NN_SPLIT_HIGH NN_NEXT_POSITION NN_PAIR(t0, 0, 0) NN_PAIR(t1, 0, 4) NN_NEXT_LAST \
    NN_MAC2(c0, t0, a) NN_MAC2(c0, t1, w) NN_NEXT_X NN_NEXT_WEIGHTS
#define NN_LAST_4X1                                                                            \
    NN_SPLIT_HIGH NN_PAIR(t0, 0, 0) NN_SPLIT_LOW NN_PAIR(t1, 0, 4) NN_FETCH_AT NN_FETCH_END(n) \
    NN_MAC2(c0, t0, a) NN_MAC2(c0, t1, w) NN_LEAVE(n)

/* 2 columns: 15 instructions, 8 cycles a group, 6 for the last. */
#define NN_LOOP_4X2                                                                                   \
    NN_SPLIT_LOW NN_PAIR(t0, 0, 0) NN_SPLIT_HIGH NN_NEXT_POSITION NN_PAIR(t1, 0, 4) NN_PAIR(t2, 1, 0) \
    NN_MAC2(c0, t0, a) NN_NEXT_LAST NN_MAC2(c1, t2, a) NN_PAIR(t3, 1, 4) NN_NEXT_X NN_MAC2(c0, t1, w) \
    NN_NEXT_WEIGHTS NN_MAC2(c1, t3, w)
#define NN_LAST_4X2                                                                                     \
    NN_SPLIT_HIGH NN_PAIR(t0, 0, 0) NN_SPLIT_LOW NN_PAIR(t1, 0, 4) NN_PAIR(t2, 1, 0) NN_MAC2(c0, t0, a) \
    NN_PAIR(t3, 1, 4) NN_FETCH_AT NN_FETCH_END(n) NN_MAC2(c0, t1, w) NN_MAC2(c1, t2, a)                 \
    NN_MAC2(c1, t3, w) NN_LEAVE(n)

/* 3 columns: 19 instructions, 10 cycles a group, 8 for the last. */
#define NN_LOOP_4X3                                                                                     \
    NN_SPLIT_HIGH NN_PAIR(t2, 1, 0) NN_SPLIT_LOW NN_PAIR(t0, 0, 0) NN_MAC2(c1, t2, a) NN_PAIR(t3, 1, 4) \
    NN_NEXT_POSITION NN_MAC2(c0, t0, a) NN_PAIR(t0, 2, 0) NN_PAIR(t1, 0, 4) NN_NEXT_LAST                \
    NN_MAC2(c1, t3, w) NN_MAC2(c0, t1, w) NN_PAIR(t1, 2, 4) NN_MAC2(c2, t0, a) NN_MAC2(c2, t1, w)       \
    NN_NEXT_X NN_NEXT_WEIGHTS
#define NN_LAST_4X3                                                                                     \
    NN_SPLIT_HIGH NN_PAIR(t0, 0, 0) NN_SPLIT_LOW NN_PAIR(t1, 0, 4) NN_PAIR(t2, 1, 0) NN_MAC2(c0, t0, a) \
    NN_PAIR(t3, 1, 4) NN_MAC2(c0, t1, w) NN_MAC2(c1, t2, a) NN_PAIR(t0, 2, 0) NN_MAC2(c1, t3, w)        \
    NN_PAIR(t1, 2, 4) NN_FETCH_AT NN_FETCH_END(n) NN_MAC2(c2, t0, a) NN_MAC2(c2, t1, w) NN_LEAVE(n)

/* 4 columns: 23 instructions, 12 cycles a group, 10 for the last. */
#define NN_LOOP_4X4                                                                                   \
    NN_SPLIT_LOW NN_PAIR(t1, 0, 4) NN_SPLIT_HIGH NN_NEXT_POSITION NN_PAIR(t0, 0, 0) NN_PAIR(t2, 1, 0) \
    NN_NEXT_LAST NN_MAC2(c0, t0, a) NN_PAIR(t3, 1, 4) NN_MAC2(c0, t1, w) NN_PAIR(t1, 2, 4)            \
    NN_MAC2(c1, t2, a) NN_PAIR(t0, 2, 0) NN_PAIR(t2, 3, 0) NN_MAC2(c1, t3, w) NN_PAIR(t3, 3, 4)       \
    NN_MAC2(c2, t0, a) NN_MAC2(c3, t2, a) NN_NEXT_X NN_MAC2(c3, t3, w) NN_NEXT_WEIGHTS                \
    NN_MAC2(c2, t1, w)
#define NN_LAST_4X4                                                                                     \
    NN_SPLIT_LOW NN_PAIR(t2, 1, 0) NN_SPLIT_HIGH NN_PAIR(t0, 0, 0) NN_PAIR(t3, 1, 4) NN_MAC2(c1, t2, a) \
    NN_MAC2(c0, t0, a) NN_PAIR(t1, 0, 4) NN_PAIR(t2, 3, 0) NN_MAC2(c1, t3, w) NN_MAC2(c0, t1, w)        \
    NN_PAIR(t0, 2, 0) NN_PAIR(t1, 2, 4) NN_MAC2(c3, t2, a) NN_PAIR(t3, 3, 4) NN_FETCH_AT                \
    NN_FETCH_END(n) NN_MAC2(c2, t0, a) NN_MAC2(c2, t1, w) NN_MAC2(c3, t3, w) NN_LEAVE(n)

/* 5 columns: 27 instructions, 14 cycles a group, 12 for the last. */
#define NN_LOOP_4X5                                                                                   \
    NN_SPLIT_LOW NN_PAIR(t0, 0, 0) NN_SPLIT_HIGH NN_NEXT_POSITION NN_PAIR(t1, 0, 4) NN_PAIR(t2, 1, 0) \
    NN_NEXT_LAST NN_MAC2(c0, t0, a) NN_PAIR(t0, 1, 4) NN_MAC2(c0, t1, w) NN_PAIR(t1, 2, 0)            \
    NN_MAC2(c1, t2, a) NN_MAC2(c1, t0, w) NN_PAIR(t2, 2, 4) NN_MAC2(c2, t1, a) NN_PAIR(t0, 3, 0)      \
    NN_MAC2(c2, t2, w) NN_PAIR(t1, 3, 4) NN_PAIR(t2, 4, 0) NN_MAC2(c3, t0, a) NN_PAIR(t0, 4, 4)       \
    NN_MAC2(c3, t1, w) NN_MAC2(c4, t2, a) NN_MAC2(c4, t0, w) NN_NEXT_X NN_NEXT_WEIGHTS
#define NN_LAST_4X5                                                                                     \
    NN_SPLIT_HIGH NN_PAIR(t0, 0, 0) NN_SPLIT_LOW NN_PAIR(t2, 1, 0) NN_PAIR(t1, 0, 4) NN_MAC2(c0, t0, a) \
    NN_MAC2(c1, t2, a) NN_PAIR(t0, 1, 4) NN_MAC2(c0, t1, w) NN_PAIR(t1, 2, 0) NN_PAIR(t2, 2, 4)         \
    NN_MAC2(c1, t0, w) NN_PAIR(t0, 3, 0) NN_MAC2(c2, t1, a) NN_PAIR(t1, 3, 4) NN_MAC2(c2, t2, w)        \
    NN_MAC2(c3, t0, a) NN_PAIR(t2, 4, 0) NN_MAC2(c3, t1, w) NN_PAIR(t0, 4, 4) NN_FETCH_AT               \
    NN_FETCH_END(n) NN_MAC2(c4, t2, a) NN_MAC2(c4, t0, w) NN_LEAVE(n)

/* 6 columns: 31 instructions, 16 cycles a group, 14 for the last. */
#define NN_LOOP_4X6                                                                                    \
    NN_SPLIT_HIGH NN_PAIR(t0, 0, 0) NN_SPLIT_LOW NN_NEXT_POSITION NN_MAC2(c0, t0, a) NN_PAIR(t1, 0, 4) \
    NN_NEXT_LAST NN_PAIR(t0, 1, 0) NN_MAC2(c0, t1, w) NN_PAIR(t1, 1, 4) NN_MAC2(c1, t0, a)             \
    NN_PAIR(t0, 2, 0) NN_MAC2(c1, t1, w) NN_PAIR(t1, 2, 4) NN_MAC2(c2, t0, a) NN_PAIR(t0, 3, 0)        \
    NN_MAC2(c2, t1, w) NN_PAIR(t1, 3, 4) NN_MAC2(c3, t0, a) NN_PAIR(t0, 4, 0) NN_MAC2(c3, t1, w)       \
    NN_PAIR(t1, 4, 4) NN_MAC2(c4, t0, a) NN_PAIR(t0, 5, 0) NN_MAC2(c4, t1, w) NN_PAIR(t1, 5, 4)        \
    NN_NEXT_X NN_MAC2(c5, t0, a) NN_MAC2(c5, t1, w) NN_NEXT_WEIGHTS
#define NN_LAST_4X6                                                                                     \
    NN_SPLIT_LOW NN_PAIR(t0, 0, 0) NN_SPLIT_HIGH NN_PAIR(t1, 0, 4) NN_MAC2(c0, t0, a) NN_PAIR(t0, 1, 0) \
    NN_MAC2(c0, t1, w) NN_PAIR(t1, 1, 4) NN_MAC2(c1, t0, a) NN_PAIR(t0, 2, 0) NN_MAC2(c1, t1, w)        \
    NN_PAIR(t1, 2, 4) NN_MAC2(c2, t0, a) NN_PAIR(t0, 3, 0) NN_MAC2(c2, t1, w) NN_PAIR(t1, 3, 4)         \
    NN_MAC2(c3, t0, a) NN_PAIR(t0, 4, 0) NN_MAC2(c3, t1, w) NN_PAIR(t1, 4, 4) NN_MAC2(c4, t0, a)        \
    NN_PAIR(t0, 5, 0) NN_MAC2(c4, t1, w) NN_PAIR(t1, 5, 4) NN_FETCH_AT NN_FETCH_END(n)                  \
    NN_MAC2(c5, t0, a) NN_MAC2(c5, t1, w) NN_LEAVE(n)
/* clang-format on */

/* Registers besides position, weights, x and w. */
#define NN_USES_4X1 NN_ACC1, NN_TEMP2, NN_A, NN_N
#define NN_USES_4X2 NN_ACC2, NN_TEMP4, NN_A, NN_N
#define NN_USES_4X3 NN_ACC3, NN_TEMP4, NN_A, NN_N
#define NN_USES_4X4 NN_ACC4, NN_TEMP4, NN_A, NN_N
#define NN_USES_4X5 NN_ACC5, NN_TEMP3, NN_A, NN_N
#define NN_USES_4X6 NN_ACC6, NN_TEMP2, NN_A, NN_N

#endif
