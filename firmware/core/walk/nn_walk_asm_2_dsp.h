/* nn_walk_asm_2_dsp.h - loops over groups of 2, scheduled for Cortex-M4.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A pass does the two groups that share a word of weights: group a's patch starts at x, group b's at y. Both
 * are known when a pass starts, so that its loads fall into few runs (n loads take n + 1 cycles). x and a
 * take what loads find no other register for, once nothing needs them, and last the next pair's position
 * bytes. NN_LOOP_2XP does a pair and steps to the next, leaving the carry set if that is its segment's last;
 * NN_LAST_2XP does a pair and stops.
 *
 * check:  NN_LOOP_2XP has 8 + 4 * P instructions, P = 1 .. 6
 * check:  NN_LAST_2XP has 7 + 4 * P instructions, P = 1 .. 6
 * cycles: in the comment over each loop, its branch included, by the pipeline model of Cortex-M4
 */
#ifndef NN_WALK_ASM_2_DSP_H
#define NN_WALK_ASM_2_DSP_H

/* What precedes a segment's first pair. */
#define NN_ENTER_2 NN_POSITION(a) NN_POSITION(w) NN_START_A NN_IS_LAST(w) NN_STEP_B(w)

/* clang-format off */
/* 1 column: 13 instructions, 16 cycles a pair. */
#define NN_LOOP_2X1                                                                                    \
    NN_WEIGHTS_2 NN_PAIR_A(t0, 0) NN_POSITION(x) NN_PAIR_B(t1, 0) NN_POSITION(n) NN_SPLIT_A NN_SPLIT_B \
    NN_MAC2(c0, t0, a) NN_MAC2(c0, t1, w) NN_STEP_A(x) NN_IS_LAST(n) NN_STEP_B(n)
#define NN_LAST_2X1                                                                                  \
    NN_WEIGHTS_2 NN_PAIR_A(t0, 0) NN_PAIR_B(t1, 0) NN_FETCH_AT NN_FETCH_END(y) NN_SPLIT_A NN_SPLIT_B \
    NN_MAC2(c0, t0, a) NN_MAC2(c0, t1, w) NN_LEAVE(y)

/* 2 columns: 17 instructions, 20 cycles a pair. */
#define NN_LOOP_2X2                                                                                 \
    NN_WEIGHTS_2 NN_PAIR_A(t0, 0) NN_PAIR_A(t1, 1) NN_POSITION(x) NN_PAIR_B(t2, 0) NN_PAIR_B(t3, 1) \
    NN_POSITION(n) NN_SPLIT_A NN_SPLIT_B NN_MAC2(c0, t0, a) NN_MAC2(c1, t1, a) NN_MAC2(c0, t2, w)   \
    NN_MAC2(c1, t3, w) NN_STEP_A(x) NN_IS_LAST(n) NN_STEP_B(n)
#define NN_LAST_2X2                                                                                \
    NN_WEIGHTS_2 NN_PAIR_A(t0, 0) NN_PAIR_A(t1, 1) NN_PAIR_B(t2, 0) NN_PAIR_B(t3, 1) NN_FETCH_AT   \
    NN_FETCH_END(y) NN_SPLIT_A NN_SPLIT_B NN_MAC2(c0, t0, a) NN_MAC2(c1, t1, a) NN_MAC2(c0, t2, w) \
    NN_MAC2(c1, t3, w) NN_LEAVE(y)

/* 3 columns: 21 instructions, 25 cycles a pair. */
#define NN_LOOP_2X3                                                                             \
    NN_WEIGHTS_2 NN_PAIR_A(t0, 0) NN_PAIR_A(t1, 1) NN_PAIR_A(t2, 2) NN_PAIR_B(t3, 0) NN_SPLIT_A \
    NN_MAC2(c0, t0, a) NN_MAC2(c1, t1, a) NN_MAC2(c2, t2, a) NN_SPLIT_B NN_MAC2(c0, t3, w)      \
    NN_POSITION(x) NN_PAIR_B(t0, 1) NN_PAIR_B(t1, 2) NN_POSITION(a) NN_MAC2(c1, t0, w)          \
    NN_MAC2(c2, t1, w) NN_STEP_A(x) NN_IS_LAST(a) NN_STEP_B(a)
#define NN_LAST_2X3                                                                                     \
    NN_WEIGHTS_2 NN_PAIR_A(t0, 0) NN_PAIR_A(t1, 1) NN_PAIR_A(t2, 2) NN_PAIR_B(t3, 0) NN_SPLIT_A         \
    NN_MAC2(c0, t0, a) NN_MAC2(c1, t1, a) NN_MAC2(c2, t2, a) NN_SPLIT_B NN_MAC2(c0, t3, w)              \
    NN_PAIR_B(t0, 1) NN_PAIR_B(t1, 2) NN_FETCH_AT NN_FETCH_END(y) NN_MAC2(c1, t0, w) NN_MAC2(c2, t1, w) \
    NN_LEAVE(y)

/* 4 columns: 25 instructions, 29 cycles a pair. */
#define NN_LOOP_2X4                                                                                   \
    NN_WEIGHTS_2 NN_PAIR_A(t0, 0) NN_PAIR_A(t1, 1) NN_PAIR_A(t2, 2) NN_PAIR_A(t3, 3) NN_SPLIT_A       \
    NN_MAC2(c0, t0, a) NN_MAC2(c1, t1, a) NN_MAC2(c2, t2, a) NN_MAC2(c3, t3, a) NN_SPLIT_B            \
    NN_POSITION(x) NN_PAIR_B(t0, 0) NN_PAIR_B(t1, 1) NN_PAIR_B(t2, 2) NN_PAIR_B(t3, 3) NN_POSITION(a) \
    NN_MAC2(c0, t0, w) NN_MAC2(c1, t1, w) NN_MAC2(c2, t2, w) NN_MAC2(c3, t3, w) NN_STEP_A(x)          \
    NN_IS_LAST(a) NN_STEP_B(a)
#define NN_LAST_2X4                                                                                 \
    NN_WEIGHTS_2 NN_PAIR_A(t0, 0) NN_PAIR_A(t1, 1) NN_PAIR_A(t2, 2) NN_PAIR_A(t3, 3) NN_SPLIT_A     \
    NN_MAC2(c0, t0, a) NN_MAC2(c1, t1, a) NN_MAC2(c2, t2, a) NN_MAC2(c3, t3, a) NN_SPLIT_B          \
    NN_PAIR_B(t0, 0) NN_PAIR_B(t1, 1) NN_PAIR_B(t2, 2) NN_PAIR_B(t3, 3) NN_FETCH_AT NN_FETCH_END(y) \
    NN_MAC2(c0, t0, w) NN_MAC2(c1, t1, w) NN_MAC2(c2, t2, w) NN_MAC2(c3, t3, w) NN_LEAVE(y)

/* 5 columns: 29 instructions, 34 cycles a pair. */
#define NN_LOOP_2X5                                                                                    \
    NN_WEIGHTS_2 NN_PAIR_A(t0, 0) NN_PAIR_A(t1, 1) NN_PAIR_A(t2, 2) NN_SPLIT_A NN_MAC2(c0, t0, a)      \
    NN_MAC2(c1, t1, a) NN_MAC2(c2, t2, a) NN_PAIR_A(t0, 3) NN_PAIR_A(t1, 4) NN_PAIR_B(t2, 0)           \
    NN_PAIR_B(x, 1) NN_SPLIT_B NN_MAC2(c3, t0, a) NN_MAC2(c4, t1, a) NN_MAC2(c0, t2, w)                \
    NN_MAC2(c1, x, w) NN_POSITION(x) NN_PAIR_B(t0, 2) NN_PAIR_B(t1, 3) NN_PAIR_B(t2, 4) NN_POSITION(a) \
    NN_MAC2(c2, t0, w) NN_MAC2(c3, t1, w) NN_MAC2(c4, t2, w) NN_STEP_A(x) NN_IS_LAST(a) NN_STEP_B(a)
#define NN_LAST_2X5                                                                                  \
    NN_WEIGHTS_2 NN_PAIR_A(t0, 0) NN_PAIR_A(t1, 1) NN_PAIR_A(t2, 2) NN_SPLIT_A NN_MAC2(c0, t0, a)    \
    NN_MAC2(c1, t1, a) NN_MAC2(c2, t2, a) NN_PAIR_A(t0, 3) NN_PAIR_A(t1, 4) NN_PAIR_B(t2, 0)         \
    NN_PAIR_B(x, 1) NN_SPLIT_B NN_MAC2(c3, t0, a) NN_MAC2(c4, t1, a) NN_MAC2(c0, t2, w)              \
    NN_MAC2(c1, x, w) NN_PAIR_B(t0, 2) NN_PAIR_B(t1, 3) NN_PAIR_B(t2, 4) NN_FETCH_AT NN_FETCH_END(y) \
    NN_MAC2(c2, t0, w) NN_MAC2(c3, t1, w) NN_MAC2(c4, t2, w) NN_LEAVE(y)

/* 6 columns: 33 instructions, 40 cycles a pair. */
#define NN_LOOP_2X6                                                                                     \
    NN_WEIGHTS_2 NN_PAIR_A(t0, 0) NN_PAIR_A(t1, 1) NN_SPLIT_A NN_MAC2(c0, t0, a) NN_MAC2(c1, t1, a)     \
    NN_PAIR_A(t0, 2) NN_PAIR_A(t1, 3) NN_MAC2(c2, t0, a) NN_MAC2(c3, t1, a) NN_PAIR_A(t0, 4)            \
    NN_PAIR_A(t1, 5) NN_PAIR_B(x, 0) NN_SPLIT_B NN_MAC2(c4, t0, a) NN_MAC2(c5, t1, a) NN_MAC2(c0, x, w) \
    NN_PAIR_B(t0, 1) NN_PAIR_B(t1, 2) NN_PAIR_B(a, 3) NN_MAC2(c1, t0, w) NN_MAC2(c2, t1, w)             \
    NN_MAC2(c3, a, w) NN_POSITION(x) NN_PAIR_B(t0, 4) NN_PAIR_B(t1, 5) NN_POSITION(a)                   \
    NN_MAC2(c4, t0, w) NN_MAC2(c5, t1, w) NN_STEP_A(x) NN_IS_LAST(a) NN_STEP_B(a)
#define NN_LAST_2X6                                                                                     \
    NN_WEIGHTS_2 NN_PAIR_A(t0, 0) NN_PAIR_A(t1, 1) NN_SPLIT_A NN_MAC2(c0, t0, a) NN_MAC2(c1, t1, a)     \
    NN_PAIR_A(t0, 2) NN_PAIR_A(t1, 3) NN_MAC2(c2, t0, a) NN_MAC2(c3, t1, a) NN_PAIR_A(t0, 4)            \
    NN_PAIR_A(t1, 5) NN_PAIR_B(x, 0) NN_SPLIT_B NN_MAC2(c4, t0, a) NN_MAC2(c5, t1, a) NN_MAC2(c0, x, w) \
    NN_PAIR_B(t0, 1) NN_PAIR_B(t1, 2) NN_PAIR_B(a, 3) NN_MAC2(c1, t0, w) NN_MAC2(c2, t1, w)             \
    NN_MAC2(c3, a, w) NN_PAIR_B(t0, 4) NN_PAIR_B(t1, 5) NN_FETCH_AT NN_FETCH_END(y) NN_MAC2(c4, t0, w)  \
    NN_MAC2(c5, t1, w) NN_LEAVE(y)
/* clang-format on */

/* Registers besides position, weights, x and w. */
#define NN_USES_2X1 NN_ACC1, NN_TEMP2, NN_A, NN_Y, NN_N
#define NN_USES_2X2 NN_ACC2, NN_TEMP4, NN_A, NN_Y, NN_N
#define NN_USES_2X3 NN_ACC3, NN_TEMP4, NN_A, NN_Y
#define NN_USES_2X4 NN_ACC4, NN_TEMP4, NN_A, NN_Y
#define NN_USES_2X5 NN_ACC5, NN_TEMP3, NN_A, NN_Y
#define NN_USES_2X6 NN_ACC6, NN_TEMP2, NN_A, NN_Y

#endif
