/* nn_walk_asm_4_dsp.h - loops over groups of 4, scheduled for Cortex-M4.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * n loads in a row take n + 1 cycles, an address computed by the instruction before costs one more and a
 * taken branch three. So the weights are loaded with the first columns, and the next group's position with
 * the last ones. NN_LOOP_4XP does a group and steps to the next, leaving the carry set if that is its
 * segment's last; NN_LAST_4XP does a group and stops. Columns are read low halves first: then a is free
 * early.
 *
 * check:  NN_LOOP_4XP has 6 + 4 * P instructions, P = 1 .. 6
 * check:  NN_LAST_4XP has 7 + 4 * P instructions, P = 1 .. 6
 * cycles: in the comment over each loop, its branch included, by the pipeline model of Cortex-M4
 */
#ifndef NN_WALK_ASM_4_DSP_H
#define NN_WALK_ASM_4_DSP_H

/* What precedes a segment's first group. */
#define NN_ENTER_4 NN_POSITION(a) NN_STEP(a)

#define NN_WEIGHTS    "ldr.w   %[w], [%[weights]], #4\n\t"
#define NN_SPLIT_LOW  "sxtb16  %[a], %[w]\n\t"
#define NN_SPLIT_HIGH "sxtb16  %[w], %[w], ror #8\n\t"

/* From the position byte of the next group to its x. */
#define NN_STEP(t) NN_IS_LAST(t) "add.w   %[x], %[x], %[" #t "], lsr #22\n\t"

/* clang-format off */
/* 1 column: 11 instructions, 14 cycles a group. */
#define NN_LOOP_4X1                                                                          \
    NN_WEIGHTS NN_PAIR(t0, 0, 0) NN_PAIR(t1, 0, 4) NN_POSITION(n) NN_SPLIT_LOW NN_SPLIT_HIGH \
    NN_MAC2(c0, t0, a) NN_MAC2(c0, t1, w) NN_STEP(n)
#define NN_LAST_4X1                                                                         \
    NN_WEIGHTS NN_PAIR(t0, 0, 0) NN_PAIR(t1, 0, 4) NN_FETCH_AT NN_FETCH_END(n) NN_SPLIT_LOW \
    NN_SPLIT_HIGH NN_MAC2(c0, t0, a) NN_MAC2(c0, t1, w) NN_LEAVE(n)

/* 2 columns: 15 instructions, 18 cycles a group. */
#define NN_LOOP_4X2                                                                                   \
    NN_WEIGHTS NN_PAIR(t0, 0, 0) NN_PAIR(t1, 0, 4) NN_PAIR(t2, 1, 0) NN_PAIR(t3, 1, 4) NN_POSITION(n) \
    NN_SPLIT_LOW NN_SPLIT_HIGH NN_MAC2(c0, t0, a) NN_MAC2(c0, t1, w) NN_MAC2(c1, t2, a)               \
    NN_MAC2(c1, t3, w) NN_STEP(n)
#define NN_LAST_4X2                                                                                     \
    NN_WEIGHTS NN_PAIR(t0, 0, 0) NN_PAIR(t1, 0, 4) NN_PAIR(t2, 1, 0) NN_PAIR(t3, 1, 4) NN_FETCH_AT      \
    NN_FETCH_END(n) NN_SPLIT_LOW NN_SPLIT_HIGH NN_MAC2(c0, t0, a) NN_MAC2(c0, t1, w) NN_MAC2(c1, t2, a) \
    NN_MAC2(c1, t3, w) NN_LEAVE(n)

/* 3 columns: 19 instructions, 23 cycles a group. */
#define NN_LOOP_4X3                                                                                     \
    NN_WEIGHTS NN_PAIR(t0, 0, 0) NN_PAIR(t1, 1, 0) NN_PAIR(t2, 2, 0) NN_PAIR(t3, 0, 4) NN_SPLIT_LOW     \
    NN_MAC2(c0, t0, a) NN_MAC2(c1, t1, a) NN_MAC2(c2, t2, a) NN_SPLIT_HIGH NN_MAC2(c0, t3, w)           \
    NN_PAIR(t0, 1, 4) NN_PAIR(t1, 2, 4) NN_POSITION(n) NN_MAC2(c1, t0, w) NN_MAC2(c2, t1, w) NN_STEP(n)
#define NN_LAST_4X3                                                                                 \
    NN_WEIGHTS NN_PAIR(t0, 0, 0) NN_PAIR(t1, 1, 0) NN_PAIR(t2, 2, 0) NN_PAIR(t3, 0, 4) NN_SPLIT_LOW \
    NN_MAC2(c0, t0, a) NN_MAC2(c1, t1, a) NN_MAC2(c2, t2, a) NN_SPLIT_HIGH NN_MAC2(c0, t3, w)       \
    NN_PAIR(t0, 1, 4) NN_PAIR(t1, 2, 4) NN_FETCH_AT NN_FETCH_END(a) NN_MAC2(c1, t0, w)              \
    NN_MAC2(c2, t1, w) NN_LEAVE(a)

/* 4 columns: 23 instructions, 27 cycles a group. */
#define NN_LOOP_4X4                                                                                 \
    NN_WEIGHTS NN_PAIR(t0, 0, 0) NN_PAIR(t1, 1, 0) NN_PAIR(t2, 2, 0) NN_PAIR(t3, 3, 0) NN_SPLIT_LOW \
    NN_MAC2(c0, t0, a) NN_MAC2(c1, t1, a) NN_MAC2(c2, t2, a) NN_MAC2(c3, t3, a) NN_SPLIT_HIGH       \
    NN_PAIR(t0, 0, 4) NN_PAIR(t1, 1, 4) NN_PAIR(t2, 2, 4) NN_PAIR(t3, 3, 4) NN_POSITION(a)          \
    NN_MAC2(c0, t0, w) NN_MAC2(c1, t1, w) NN_MAC2(c2, t2, w) NN_MAC2(c3, t3, w) NN_STEP(a)
#define NN_LAST_4X4                                                                                     \
    NN_WEIGHTS NN_PAIR(t0, 0, 0) NN_PAIR(t1, 1, 0) NN_PAIR(t2, 2, 0) NN_PAIR(t3, 3, 0) NN_SPLIT_LOW     \
    NN_MAC2(c0, t0, a) NN_MAC2(c1, t1, a) NN_MAC2(c2, t2, a) NN_MAC2(c3, t3, a) NN_SPLIT_HIGH           \
    NN_PAIR(t0, 0, 4) NN_PAIR(t1, 1, 4) NN_PAIR(t2, 2, 4) NN_PAIR(t3, 3, 4) NN_FETCH_AT NN_FETCH_END(a) \
    NN_MAC2(c0, t0, w) NN_MAC2(c1, t1, w) NN_MAC2(c2, t2, w) NN_MAC2(c3, t3, w) NN_LEAVE(a)

/* 5 columns: 27 instructions, 32 cycles a group. */
#define NN_LOOP_4X5                                                                                 \
    NN_WEIGHTS NN_PAIR(t0, 0, 0) NN_PAIR(t1, 1, 0) NN_PAIR(t2, 2, 0) NN_PAIR(t3, 3, 0) NN_SPLIT_LOW \
    NN_MAC2(c0, t0, a) NN_MAC2(c1, t1, a) NN_MAC2(c2, t2, a) NN_MAC2(c3, t3, a) NN_SPLIT_HIGH       \
    NN_PAIR(t0, 4, 0) NN_PAIR(t1, 0, 4) NN_PAIR(t2, 1, 4) NN_PAIR(t3, 2, 4) NN_MAC2(c4, t0, a)      \
    NN_MAC2(c0, t1, w) NN_MAC2(c1, t2, w) NN_MAC2(c2, t3, w) NN_PAIR(t0, 3, 4) NN_PAIR(t1, 4, 4)    \
    NN_POSITION(a) NN_MAC2(c3, t0, w) NN_MAC2(c4, t1, w) NN_STEP(a)
#define NN_LAST_4X5                                                                                 \
    NN_WEIGHTS NN_PAIR(t0, 0, 0) NN_PAIR(t1, 1, 0) NN_PAIR(t2, 2, 0) NN_PAIR(t3, 3, 0) NN_SPLIT_LOW \
    NN_MAC2(c0, t0, a) NN_MAC2(c1, t1, a) NN_MAC2(c2, t2, a) NN_MAC2(c3, t3, a) NN_SPLIT_HIGH       \
    NN_PAIR(t0, 4, 0) NN_PAIR(t1, 0, 4) NN_PAIR(t2, 1, 4) NN_PAIR(t3, 2, 4) NN_MAC2(c4, t0, a)      \
    NN_MAC2(c0, t1, w) NN_MAC2(c1, t2, w) NN_MAC2(c2, t3, w) NN_PAIR(t0, 3, 4) NN_PAIR(t1, 4, 4)    \
    NN_FETCH_AT NN_FETCH_END(a) NN_MAC2(c3, t0, w) NN_MAC2(c4, t1, w) NN_LEAVE(a)

/* 6 columns: 31 instructions, 37 cycles a group. */
#define NN_LOOP_4X6                                                                                  \
    NN_WEIGHTS NN_PAIR(t0, 0, 0) NN_PAIR(t1, 1, 0) NN_PAIR(t2, 2, 0) NN_SPLIT_LOW NN_MAC2(c0, t0, a) \
    NN_MAC2(c1, t1, a) NN_MAC2(c2, t2, a) NN_PAIR(t0, 3, 0) NN_PAIR(t1, 4, 0) NN_PAIR(t2, 5, 0)      \
    NN_MAC2(c3, t0, a) NN_MAC2(c4, t1, a) NN_MAC2(c5, t2, a) NN_SPLIT_HIGH NN_PAIR(t0, 0, 4)         \
    NN_PAIR(t1, 1, 4) NN_PAIR(t2, 2, 4) NN_PAIR(a, 3, 4) NN_MAC2(c0, t0, w) NN_MAC2(c1, t1, w)       \
    NN_MAC2(c2, t2, w) NN_MAC2(c3, a, w) NN_PAIR(t0, 4, 4) NN_PAIR(t1, 5, 4) NN_POSITION(a)          \
    NN_MAC2(c4, t0, w) NN_MAC2(c5, t1, w) NN_STEP(a)
#define NN_LAST_4X6                                                                                  \
    NN_WEIGHTS NN_PAIR(t0, 0, 0) NN_PAIR(t1, 1, 0) NN_PAIR(t2, 2, 0) NN_SPLIT_LOW NN_MAC2(c0, t0, a) \
    NN_MAC2(c1, t1, a) NN_MAC2(c2, t2, a) NN_PAIR(t0, 3, 0) NN_PAIR(t1, 4, 0) NN_PAIR(t2, 5, 0)      \
    NN_MAC2(c3, t0, a) NN_MAC2(c4, t1, a) NN_MAC2(c5, t2, a) NN_SPLIT_HIGH NN_PAIR(t0, 0, 4)         \
    NN_PAIR(t1, 1, 4) NN_PAIR(t2, 2, 4) NN_PAIR(a, 3, 4) NN_MAC2(c0, t0, w) NN_MAC2(c1, t1, w)       \
    NN_MAC2(c2, t2, w) NN_MAC2(c3, a, w) NN_PAIR(t0, 4, 4) NN_PAIR(t1, 5, 4) NN_FETCH_AT             \
    NN_FETCH_END(a) NN_MAC2(c4, t0, w) NN_MAC2(c5, t1, w) NN_LEAVE(a)
/* clang-format on */

/* Registers besides position, weights, x and w. */
#define NN_USES_4X1 NN_ACC1, NN_TEMP2, NN_A, NN_N
#define NN_USES_4X2 NN_ACC2, NN_TEMP4, NN_A, NN_N
#define NN_USES_4X3 NN_ACC3, NN_TEMP4, NN_A, NN_N
#define NN_USES_4X4 NN_ACC4, NN_TEMP4, NN_A
#define NN_USES_4X5 NN_ACC5, NN_TEMP4, NN_A
#define NN_USES_4X6 NN_ACC6, NN_TEMP3, NN_A

#endif
