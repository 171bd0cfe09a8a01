/* nn_walk_asm_2_m7.h - loops over groups of 2, scheduled for two slots.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A pass does the two groups that share a word of weights: group a's patch starts at x, group b's at y.
 * Columns usually lie in the same memory bank, so each load has a multiplication or something else beside it.
 * The next pair's x and y are ready before the pass ends, and so are its weights, in w. Both slots are full
 * but for one instruction. NN_LOOP_2XP does a pair and steps to the next, leaving the carry set if that is
 * its segment's last; NN_LAST_2XP does a pair and stops.
 *
 * check:  NN_LOOP_2XP has 8 + 4 * P instructions, P = 1 .. 6
 * check:  NN_LAST_2XP has 6 + 4 * P instructions, P = 1 .. 6
 * cycles: in the comment over each loop, its branch included, by the pipeline model of Cortex-M7
 */
#ifndef NN_WALK_ASM_2_M7_H
#define NN_WALK_ASM_2_M7_H

/* What precedes a segment's first pair. */
#define NN_ENTER_2 NN_POSITION(a) NN_POSITION(w) NN_START_A NN_IS_LAST(w) NN_STEP_B(w) NN_WEIGHTS_2

/* clang-format off */
/* 1 column: 13 instructions, 7 cycles a pair, 6 for the last. */
#define NN_LOOP_2X1                                                                                     \
    NN_SPLIT_A NN_POSITION(n) NN_PAIR_A(t0, 0) NN_SPLIT_B NN_POSITION(t2) NN_PAIR_B(t1, 0) NN_STEP_A(n) \
    NN_IS_LAST(t2) NN_MAC2(c0, t0, a) NN_MAC2(c0, t1, w) NN_WEIGHTS_2 NN_STEP_B(t2)
#define NN_LAST_2X1                                                                        \
    NN_SPLIT_A NN_PAIR_A(t0, 0) NN_FETCH_AT NN_SPLIT_B NN_PAIR_B(t1, 0) NN_MAC2(c0, t0, a) \
    NN_FETCH_END(n) NN_MAC2(c0, t1, w) NN_LEAVE(n)

/* 2 columns: 17 instructions, 9 cycles a pair, 8 for the last. */
#define NN_LOOP_2X2                                                                           \
    NN_POSITION(n) NN_SPLIT_A NN_PAIR_A(t0, 0) NN_SPLIT_B NN_PAIR_A(t1, 1) NN_MAC2(c0, t0, a) \
    NN_POSITION(t3) NN_PAIR_B(t2, 0) NN_MAC2(c1, t1, a) NN_IS_LAST(t3) NN_PAIR_B(t0, 1)       \
    NN_MAC2(c0, t2, w) NN_STEP_A(n) NN_STEP_B(t3) NN_MAC2(c1, t0, w) NN_WEIGHTS_2
#define NN_LAST_2X2                                                                                     \
    NN_SPLIT_A NN_PAIR_A(t1, 1) NN_PAIR_A(t0, 0) NN_PAIR_B(t2, 0) NN_MAC2(c1, t1, a) NN_MAC2(c0, t0, a) \
    NN_PAIR_B(t0, 1) NN_SPLIT_B NN_FETCH_AT NN_MAC2(c0, t2, w) NN_FETCH_END(n) NN_MAC2(c1, t0, w)       \
    NN_LEAVE(n)

/* 3 columns: 21 instructions, 11 cycles a pair, 10 for the last. */
#define NN_LOOP_2X3                                                                                     \
    NN_SPLIT_A NN_PAIR_A(t0, 0) NN_POSITION(n) NN_MAC2(c0, t0, a) NN_PAIR_A(t2, 2) NN_SPLIT_B           \
    NN_PAIR_A(t1, 1) NN_STEP_A(n) NN_POSITION(n) NN_MAC2(c1, t1, a) NN_PAIR_B(t0, 0) NN_MAC2(c2, t2, a) \
    NN_PAIR_B(t2, 2) NN_MAC2(c0, t0, w) NN_PAIR_B(t1, 1) NN_MAC2(c2, t2, w) NN_IS_LAST(n)               \
    NN_MAC2(c1, t1, w) NN_WEIGHTS_2 NN_STEP_B(n)
#define NN_LAST_2X3                                                                                     \
    NN_SPLIT_A NN_PAIR_A(t0, 0) NN_PAIR_A(t2, 2) NN_MAC2(c0, t0, a) NN_PAIR_B(t0, 0) NN_SPLIT_B         \
    NN_PAIR_A(t1, 1) NN_FETCH_END(n) NN_MAC2(c2, t2, a) NN_MAC2(c1, t1, a) NN_PAIR_B(t1, 1) NN_FETCH_AT \
    NN_MAC2(c0, t0, w) NN_MAC2(c1, t1, w) NN_PAIR_B(t2, 2) NN_MAC2(c2, t2, w) NN_LEAVE(n)

/* 4 columns: 25 instructions, 13 cycles a pair, 12 for the last. */
#define NN_LOOP_2X4                                                                                     \
    NN_SPLIT_A NN_PAIR_A(t1, 1) NN_PAIR_A(t2, 2) NN_MAC2(c1, t1, a) NN_PAIR_A(t0, 0) NN_MAC2(c2, t2, a) \
    NN_PAIR_A(t3, 3) NN_MAC2(c0, t0, a) NN_PAIR_B(t0, 0) NN_MAC2(c3, t3, a) NN_POSITION(a) NN_SPLIT_B   \
    NN_PAIR_B(t2, 2) NN_PAIR_B(t3, 3) NN_MAC2(c0, t0, w) NN_STEP_A(a) NN_POSITION(a) NN_MAC2(c3, t3, w) \
    NN_PAIR_B(t1, 1) NN_MAC2(c2, t2, w) NN_IS_LAST(a) NN_MAC2(c1, t1, w) NN_WEIGHTS_2 NN_STEP_B(a)
#define NN_LAST_2X4                                                                             \
    NN_PAIR_A(t2, 2) NN_SPLIT_A NN_PAIR_A(t1, 1) NN_PAIR_A(t0, 0) NN_MAC2(c2, t2, a) NN_SPLIT_B \
    NN_PAIR_A(t3, 3) NN_PAIR_B(t2, 2) NN_MAC2(c0, t0, a) NN_PAIR_B(t0, 0) NN_MAC2(c1, t1, a)    \
    NN_PAIR_B(t1, 1) NN_MAC2(c3, t3, a) NN_FETCH_AT NN_MAC2(c2, t2, w) NN_PAIR_B(t3, 3)         \
    NN_MAC2(c0, t0, w) NN_FETCH_END(y) NN_MAC2(c1, t1, w) NN_MAC2(c3, t3, w) NN_LEAVE(y)

/* 5 columns: 29 instructions, 15 cycles a pair, 14 for the last. */
#define NN_LOOP_2X5                                                                                     \
    NN_PAIR_A(t0, 0) NN_SPLIT_A NN_PAIR_A(t1, 1) NN_PAIR_A(t2, 2) NN_MAC2(c0, t0, a) NN_MAC2(c1, t1, a) \
    NN_PAIR_A(t1, 4) NN_PAIR_A(t0, 3) NN_MAC2(c2, t2, a) NN_MAC2(c4, t1, a) NN_PAIR_B(t1, 2) NN_SPLIT_B \
    NN_PAIR_B(t2, 0) NN_MAC2(c3, t0, a) NN_POSITION(a) NN_PAIR_B(t0, 1) NN_MAC2(c2, t1, w)              \
    NN_MAC2(c0, t2, w) NN_PAIR_B(t2, 3) NN_STEP_A(a) NN_POSITION(a) NN_MAC2(c1, t0, w) NN_PAIR_B(t0, 4) \
    NN_MAC2(c3, t2, w) NN_IS_LAST(a) NN_MAC2(c4, t0, w) NN_WEIGHTS_2 NN_STEP_B(a)
#define NN_LAST_2X5                                                                                   \
    NN_PAIR_A(t0, 0) NN_SPLIT_A NN_PAIR_A(t1, 1) NN_PAIR_A(t2, 2) NN_MAC2(c0, t0, a) NN_PAIR_A(t0, 3) \
    NN_MAC2(c1, t1, a) NN_SPLIT_B NN_PAIR_A(t1, 4) NN_MAC2(c2, t2, a) NN_FETCH_AT NN_PAIR_B(t2, 0)    \
    NN_MAC2(c3, t0, a) NN_MAC2(c4, t1, a) NN_PAIR_B(t1, 2) NN_MAC2(c0, t2, w) NN_PAIR_B(t0, 1)        \
    NN_PAIR_B(t2, 3) NN_MAC2(c1, t0, w) NN_PAIR_B(t0, 4) NN_MAC2(c2, t1, w) NN_MAC2(c3, t2, w)        \
    NN_FETCH_END(y) NN_MAC2(c4, t0, w) NN_LEAVE(y)

/* 6 columns: 33 instructions, 17 cycles a pair, 16 for the last. */
#define NN_LOOP_2X6                                                                                     \
    NN_SPLIT_A NN_PAIR_A(t1, 3) NN_SPLIT_B NN_PAIR_A(t0, 2) NN_MAC2(c3, t1, a) NN_PAIR_A(t1, 0)         \
    NN_MAC2(c2, t0, a) NN_PAIR_A(t0, 5) NN_MAC2(c0, t1, a) NN_PAIR_A(t1, 1) NN_MAC2(c5, t0, a)          \
    NN_PAIR_A(t0, 4) NN_MAC2(c1, t1, a) NN_PAIR_B(t1, 1) NN_MAC2(c4, t0, a) NN_PAIR_B(t0, 0)            \
    NN_MAC2(c1, t1, w) NN_PAIR_B(t1, 4) NN_POSITION(a) NN_MAC2(c4, t1, w) NN_PAIR_B(t1, 3)              \
    NN_MAC2(c0, t0, w) NN_PAIR_B(t0, 2) NN_STEP_A(a) NN_POSITION(a) NN_MAC2(c2, t0, w) NN_PAIR_B(t0, 5) \
    NN_IS_LAST(a) NN_MAC2(c3, t1, w) NN_MAC2(c5, t0, w) NN_WEIGHTS_2 NN_STEP_B(a)
#define NN_LAST_2X6                                                                                     \
    NN_SPLIT_A NN_PAIR_A(t0, 0) NN_PAIR_A(t1, 1) NN_MAC2(c0, t0, a) NN_PAIR_A(t0, 2) NN_MAC2(c1, t1, a) \
    NN_PAIR_A(t1, 3) NN_MAC2(c2, t0, a) NN_PAIR_A(t0, 4) NN_MAC2(c3, t1, a) NN_PAIR_A(t1, 5)            \
    NN_MAC2(c4, t0, a) NN_FETCH_AT NN_SPLIT_B NN_PAIR_B(t0, 0) NN_MAC2(c5, t1, a) NN_PAIR_B(t1, 1)      \
    NN_MAC2(c0, t0, w) NN_PAIR_B(t0, 2) NN_MAC2(c1, t1, w) NN_PAIR_B(t1, 3) NN_MAC2(c2, t0, w)          \
    NN_PAIR_B(t0, 4) NN_MAC2(c3, t1, w) NN_PAIR_B(t1, 5) NN_FETCH_END(y) NN_MAC2(c5, t1, w)             \
    NN_MAC2(c4, t0, w) NN_LEAVE(y)
/* clang-format on */

/* Registers besides position, weights, x and w. */
#define NN_USES_2X1 NN_ACC1, NN_TEMP3, NN_A, NN_Y, NN_N
#define NN_USES_2X2 NN_ACC2, NN_TEMP4, NN_A, NN_Y, NN_N
#define NN_USES_2X3 NN_ACC3, NN_TEMP3, NN_A, NN_Y, NN_N
#define NN_USES_2X4 NN_ACC4, NN_TEMP4, NN_A, NN_Y
#define NN_USES_2X5 NN_ACC5, NN_TEMP3, NN_A, NN_Y
#define NN_USES_2X6 NN_ACC6, NN_TEMP2, NN_A, NN_Y

#endif
