/* nn_walk_asm_1_dsp.h - loops over single weights, scheduled for Cortex-M4.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * n loads in a row take n + 1 cycles, so the weight is loaded with the first columns, the next one's position
 * with the last. NN_LOOP_1XP does a weight and steps to the next, leaving the carry set if that is its
 * segment's last; NN_LAST_1XP does a weight and stops.
 *
 * check:  NN_LOOP_1XP has 4 + 2 * P instructions, P = 1 .. 8
 * check:  NN_LAST_1XP has 5 + 2 * P instructions, P = 1 .. 8
 * cycles: in the comment over each loop, its branch included, by the pipeline model of Cortex-M4
 */
#ifndef NN_WALK_ASM_1_DSP_H
#define NN_WALK_ASM_1_DSP_H

/* What precedes a segment's first weight. */
#define NN_ENTER_1 NN_POSITION(w) NN_IS_LAST(w) NN_STEP_1(w)

/* clang-format off */
/* 1 column: 7 instructions, 10 cycles a weight. */
#define NN_LOOP_1X1                                                                      \
    NN_WEIGHTS_1 NN_ONE(t0, 0) NN_POSITION(n) NN_MAC1(c0, t0) NN_IS_LAST(n) NN_STEP_1(n)
#define NN_LAST_1X1                                                                    \
    NN_WEIGHTS_1 NN_ONE(t0, 0) NN_FETCH_AT NN_FETCH_END(n) NN_MAC1(c0, t0) NN_LEAVE(n)

/* 2 columns: 9 instructions, 12 cycles a weight. */
#define NN_LOOP_1X2                                                                         \
    NN_WEIGHTS_1 NN_ONE(t0, 0) NN_ONE(t1, 1) NN_POSITION(n) NN_MAC1(c0, t0) NN_MAC1(c1, t1) \
    NN_IS_LAST(n) NN_STEP_1(n)
#define NN_LAST_1X2                                                                      \
    NN_WEIGHTS_1 NN_ONE(t0, 0) NN_ONE(t1, 1) NN_FETCH_AT NN_FETCH_END(n) NN_MAC1(c0, t0) \
    NN_MAC1(c1, t1) NN_LEAVE(n)

/* 3 columns: 11 instructions, 14 cycles a weight. */
#define NN_LOOP_1X3                                                                       \
    NN_WEIGHTS_1 NN_ONE(t0, 0) NN_ONE(t1, 1) NN_ONE(t2, 2) NN_POSITION(n) NN_MAC1(c0, t0) \
    NN_MAC1(c1, t1) NN_MAC1(c2, t2) NN_IS_LAST(n) NN_STEP_1(n)
#define NN_LAST_1X3                                                                                    \
    NN_WEIGHTS_1 NN_ONE(t0, 0) NN_ONE(t1, 1) NN_ONE(t2, 2) NN_FETCH_AT NN_FETCH_END(n) NN_MAC1(c0, t0) \
    NN_MAC1(c1, t1) NN_MAC1(c2, t2) NN_LEAVE(n)

/* 4 columns: 13 instructions, 16 cycles a weight. */
#define NN_LOOP_1X4                                                                                     \
    NN_WEIGHTS_1 NN_ONE(t0, 0) NN_ONE(t1, 1) NN_ONE(t2, 2) NN_ONE(t3, 3) NN_POSITION(n) NN_MAC1(c0, t0) \
    NN_MAC1(c1, t1) NN_MAC1(c2, t2) NN_MAC1(c3, t3) NN_IS_LAST(n) NN_STEP_1(n)
#define NN_LAST_1X4                                                                                  \
    NN_WEIGHTS_1 NN_ONE(t0, 0) NN_ONE(t1, 1) NN_ONE(t2, 2) NN_ONE(t3, 3) NN_FETCH_AT NN_FETCH_END(n) \
    NN_MAC1(c0, t0) NN_MAC1(c1, t1) NN_MAC1(c2, t2) NN_MAC1(c3, t3) NN_LEAVE(n)

/* 5 columns: 15 instructions, 19 cycles a weight. */
#define NN_LOOP_1X5                                                                            \
    NN_WEIGHTS_1 NN_ONE(t0, 0) NN_ONE(t1, 1) NN_ONE(t2, 2) NN_MAC1(c0, t0) NN_MAC1(c1, t1)     \
    NN_MAC1(c2, t2) NN_ONE(t0, 3) NN_ONE(t1, 4) NN_POSITION(n) NN_MAC1(c3, t0) NN_MAC1(c4, t1) \
    NN_IS_LAST(n) NN_STEP_1(n)
#define NN_LAST_1X5                                                                         \
    NN_WEIGHTS_1 NN_ONE(t0, 0) NN_ONE(t1, 1) NN_ONE(t2, 2) NN_MAC1(c0, t0) NN_MAC1(c1, t1)  \
    NN_MAC1(c2, t2) NN_ONE(t0, 3) NN_ONE(t1, 4) NN_FETCH_AT NN_FETCH_END(n) NN_MAC1(c3, t0) \
    NN_MAC1(c4, t1) NN_LEAVE(n)

/* 6 columns: 17 instructions, 21 cycles a weight. */
#define NN_LOOP_1X6                                                                          \
    NN_WEIGHTS_1 NN_ONE(t0, 0) NN_ONE(t1, 1) NN_ONE(t2, 2) NN_MAC1(c0, t0) NN_MAC1(c1, t1)   \
    NN_MAC1(c2, t2) NN_ONE(t0, 3) NN_ONE(t1, 4) NN_ONE(t2, 5) NN_POSITION(n) NN_MAC1(c3, t0) \
    NN_MAC1(c4, t1) NN_MAC1(c5, t2) NN_IS_LAST(n) NN_STEP_1(n)
#define NN_LAST_1X6                                                                        \
    NN_WEIGHTS_1 NN_ONE(t0, 0) NN_ONE(t1, 1) NN_ONE(t2, 2) NN_MAC1(c0, t0) NN_MAC1(c1, t1) \
    NN_MAC1(c2, t2) NN_ONE(t0, 3) NN_ONE(t1, 4) NN_ONE(t2, 5) NN_FETCH_AT NN_FETCH_END(n)  \
    NN_MAC1(c3, t0) NN_MAC1(c4, t1) NN_MAC1(c5, t2) NN_LEAVE(n)

/* 7 columns: 19 instructions, 24 cycles a weight. */
#define NN_LOOP_1X7                                                                            \
    NN_WEIGHTS_1 NN_ONE(t0, 0) NN_ONE(t1, 1) NN_ONE(t2, 2) NN_MAC1(c0, t0) NN_MAC1(c1, t1)     \
    NN_MAC1(c2, t2) NN_ONE(t0, 3) NN_ONE(t1, 4) NN_ONE(t2, 5) NN_MAC1(c3, t0) NN_MAC1(c4, t1)  \
    NN_MAC1(c5, t2) NN_ONE(t0, 6) NN_POSITION(t1) NN_MAC1(c6, t0) NN_IS_LAST(t1) NN_STEP_1(t1)
#define NN_LAST_1X7                                                                           \
    NN_WEIGHTS_1 NN_ONE(t0, 0) NN_ONE(t1, 1) NN_ONE(t2, 2) NN_MAC1(c0, t0) NN_MAC1(c1, t1)    \
    NN_MAC1(c2, t2) NN_ONE(t0, 3) NN_ONE(t1, 4) NN_ONE(t2, 5) NN_MAC1(c3, t0) NN_MAC1(c4, t1) \
    NN_MAC1(c5, t2) NN_ONE(t0, 6) NN_FETCH_AT NN_FETCH_END(t1) NN_MAC1(c6, t0) NN_LEAVE(t1)

/* 8 columns: 21 instructions, 28 cycles a weight. */
#define NN_LOOP_1X8                                                                             \
    NN_WEIGHTS_1 NN_ONE(t0, 0) NN_ONE(t1, 1) NN_MAC1(c0, t0) NN_MAC1(c1, t1) NN_ONE(t0, 2)      \
    NN_ONE(t1, 3) NN_MAC1(c2, t0) NN_MAC1(c3, t1) NN_ONE(t0, 4) NN_ONE(t1, 5) NN_MAC1(c4, t0)   \
    NN_MAC1(c5, t1) NN_ONE(t0, 6) NN_ONE(t1, 7) NN_MAC1(c6, t0) NN_POSITION(t0) NN_MAC1(c7, t1) \
    NN_IS_LAST(t0) NN_STEP_1(t0)
#define NN_LAST_1X8                                                                           \
    NN_WEIGHTS_1 NN_ONE(t0, 0) NN_ONE(t1, 1) NN_MAC1(c0, t0) NN_MAC1(c1, t1) NN_ONE(t0, 2)    \
    NN_ONE(t1, 3) NN_MAC1(c2, t0) NN_MAC1(c3, t1) NN_ONE(t0, 4) NN_ONE(t1, 5) NN_MAC1(c4, t0) \
    NN_MAC1(c5, t1) NN_ONE(t0, 6) NN_ONE(t1, 7) NN_FETCH_AT NN_MAC1(c6, t0) NN_FETCH_END(t0)  \
    NN_MAC1(c7, t1) NN_LEAVE(t0)
/* clang-format on */

/* Registers besides position, weights, x and w. */
#define NN_USES_1X1 NN_ACC1, NN_TEMP1, NN_N
#define NN_USES_1X2 NN_ACC2, NN_TEMP2, NN_N
#define NN_USES_1X3 NN_ACC3, NN_TEMP3, NN_N
#define NN_USES_1X4 NN_ACC4, NN_TEMP4, NN_N
#define NN_USES_1X5 NN_ACC5, NN_TEMP3, NN_N
#define NN_USES_1X6 NN_ACC6, NN_TEMP3, NN_N
#define NN_USES_1X7 NN_ACC7, NN_TEMP3
#define NN_USES_1X8 NN_ACC8, NN_TEMP2

#endif
