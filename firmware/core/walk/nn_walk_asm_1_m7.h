/* nn_walk_asm_1_m7.h - loops over single weights, scheduled for two slots.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A multiplication takes what was loaded three cycles before, so that beside the columns' own cycles a pass
 * waits for its weight, loaded after the last multiplication of the pass before. NN_LOOP_1XP does a weight
 * and steps to the next, leaving the carry set if that is its segment's last; NN_LAST_1XP does a weight and
 * stops.
 *
 * check:  NN_LOOP_1XP has 4 + 2 * P instructions, P = 1 .. 8
 * check:  NN_LAST_1XP has 4 + 2 * P instructions, P = 1 .. 8
 * cycles: in the comment over each loop, its branch included, by the pipeline model of Cortex-M7
 */
#ifndef NN_WALK_ASM_1_M7_H
#define NN_WALK_ASM_1_M7_H

/* What precedes a segment's first weight. */
#define NN_ENTER_1 NN_POSITION(w) NN_IS_LAST(w) NN_STEP_1(w) NN_WEIGHTS_1

/* clang-format off */
/* 1 column: 7 instructions, 6 cycles a weight, 4.5 for the last. */
#define NN_LOOP_1X1                                                                      \
    NN_POSITION(n) NN_ONE(t0, 0) NN_IS_LAST(n) NN_STEP_1(n) NN_MAC1(c0, t0) NN_WEIGHTS_1
#define NN_LAST_1X1                                                       \
    NN_ONE(t0, 0) NN_FETCH_AT NN_FETCH_END(n) NN_MAC1(c0, t0) NN_LEAVE(n)

/* 2 columns: 9 instructions, 6.5 cycles a weight, 6 for the last. */
#define NN_LOOP_1X2                                                                          \
    NN_POSITION(n) NN_ONE(t1, 1) NN_ONE(t0, 0) NN_IS_LAST(n) NN_MAC1(c1, t1) NN_MAC1(c0, t0) \
    NN_STEP_1(n) NN_WEIGHTS_1
#define NN_LAST_1X2                                                                                     \
    NN_ONE(t0, 0) NN_ONE(t1, 1) NN_FETCH_AT NN_FETCH_END(n) NN_MAC1(c0, t0) NN_MAC1(c1, t1) NN_LEAVE(n)

/* 3 columns: 11 instructions, 7.5 cycles a weight, 7 for the last. */
#define NN_LOOP_1X3                                                                        \
    NN_POSITION(n) NN_ONE(t1, 1) NN_ONE(t0, 0) NN_ONE(t2, 2) NN_IS_LAST(n) NN_MAC1(c1, t1) \
    NN_MAC1(c0, t0) NN_MAC1(c2, t2) NN_STEP_1(n) NN_WEIGHTS_1
#define NN_LAST_1X3                                                                       \
    NN_ONE(t0, 0) NN_ONE(t2, 2) NN_ONE(t1, 1) NN_MAC1(c0, t0) NN_FETCH_AT NN_FETCH_END(n) \
    NN_MAC1(c2, t2) NN_MAC1(c1, t1) NN_LEAVE(n)

/* 4 columns: 13 instructions, 8.5 cycles a weight, 8 for the last. */
#define NN_LOOP_1X4                                                                           \
    NN_ONE(t3, 3) NN_POSITION(n) NN_ONE(t1, 1) NN_IS_LAST(n) NN_ONE(t2, 2) NN_ONE(t0, 0)      \
    NN_MAC1(c3, t3) NN_STEP_1(n) NN_MAC1(c1, t1) NN_MAC1(c2, t2) NN_MAC1(c0, t0) NN_WEIGHTS_1
#define NN_LAST_1X4                                                                                     \
    NN_ONE(t2, 2) NN_ONE(t1, 1) NN_ONE(t0, 0) NN_ONE(t3, 3) NN_MAC1(c2, t2) NN_MAC1(c1, t1) NN_FETCH_AT \
    NN_FETCH_END(n) NN_MAC1(c0, t0) NN_MAC1(c3, t3) NN_LEAVE(n)

/* 5 columns: 15 instructions, 9.5 cycles a weight, 9 for the last. */
#define NN_LOOP_1X5                                                                          \
    NN_POSITION(n) NN_ONE(t1, 1) NN_ONE(t0, 0) NN_ONE(t2, 2) NN_IS_LAST(n) NN_MAC1(c1, t1)   \
    NN_ONE(t1, 4) NN_MAC1(c0, t0) NN_ONE(t0, 3) NN_MAC1(c2, t2) NN_STEP_1(n) NN_MAC1(c4, t1) \
    NN_MAC1(c3, t0) NN_WEIGHTS_1
#define NN_LAST_1X5                                                                           \
    NN_ONE(t1, 1) NN_ONE(t0, 0) NN_ONE(t2, 2) NN_MAC1(c1, t1) NN_ONE(t1, 4) NN_MAC1(c0, t0)   \
    NN_ONE(t0, 3) NN_FETCH_AT NN_MAC1(c2, t2) NN_MAC1(c4, t1) NN_FETCH_END(n) NN_MAC1(c3, t0) \
    NN_LEAVE(n)

/* 6 columns: 17 instructions, 10.5 cycles a weight, 10 for the last. */
#define NN_LOOP_1X6                                                                           \
    NN_POSITION(n) NN_ONE(t1, 1) NN_ONE(t2, 2) NN_ONE(t0, 0) NN_MAC1(c1, t1) NN_ONE(t1, 4)    \
    NN_MAC1(c2, t2) NN_ONE(t2, 5) NN_MAC1(c0, t0) NN_ONE(t0, 3) NN_MAC1(c4, t1) NN_IS_LAST(n) \
    NN_MAC1(c5, t2) NN_MAC1(c3, t0) NN_STEP_1(n) NN_WEIGHTS_1
#define NN_LAST_1X6                                                                         \
    NN_ONE(t1, 1) NN_ONE(t0, 0) NN_ONE(t2, 2) NN_MAC1(c1, t1) NN_ONE(t1, 4) NN_MAC1(c0, t0) \
    NN_ONE(t0, 3) NN_MAC1(c2, t2) NN_ONE(t2, 5) NN_MAC1(c4, t1) NN_FETCH_AT NN_FETCH_END(n) \
    NN_MAC1(c3, t0) NN_MAC1(c5, t2) NN_LEAVE(n)

/* 7 columns: 19 instructions, 12 cycles a weight, 11 for the last. */
#define NN_LOOP_1X7                                                                             \
    NN_ONE(t1, 6) NN_ONE(t0, 3) NN_ONE(t2, 5) NN_MAC1(c6, t1) NN_ONE(t1, 0) NN_MAC1(c3, t0)     \
    NN_ONE(t0, 2) NN_MAC1(c5, t2) NN_POSITION(t2) NN_MAC1(c0, t1) NN_ONE(t1, 1) NN_MAC1(c2, t0) \
    NN_ONE(t0, 4) NN_IS_LAST(t2) NN_MAC1(c1, t1) NN_STEP_1(t2) NN_MAC1(c4, t0) NN_WEIGHTS_1
#define NN_LAST_1X7                                                                         \
    NN_ONE(t0, 0) NN_ONE(t2, 2) NN_ONE(t1, 1) NN_MAC1(c0, t0) NN_ONE(t0, 3) NN_MAC1(c2, t2) \
    NN_ONE(t2, 5) NN_MAC1(c1, t1) NN_ONE(t1, 4) NN_MAC1(c3, t0) NN_ONE(t0, 6) NN_FETCH_AT   \
    NN_MAC1(c5, t2) NN_MAC1(c4, t1) NN_FETCH_END(t2) NN_MAC1(c6, t0) NN_LEAVE(t2)

/* 8 columns: 21 instructions, 17 cycles a weight, 15 for the last. */
#define NN_LOOP_1X8                                                                            \
    NN_ONE(t0, 5) NN_ONE(t1, 3) NN_MAC1(c5, t0) NN_ONE(t0, 4) NN_MAC1(c3, t1) NN_ONE(t1, 1)    \
    NN_MAC1(c4, t0) NN_ONE(t0, 2) NN_MAC1(c1, t1) NN_ONE(t1, 6) NN_MAC1(c2, t0) NN_ONE(t0, 7)  \
    NN_MAC1(c6, t1) NN_POSITION(t1) NN_MAC1(c7, t0) NN_ONE(t0, 0) NN_IS_LAST(t1) NN_STEP_1(t1) \
    NN_MAC1(c0, t0) NN_WEIGHTS_1
#define NN_LAST_1X8                                                                            \
    NN_ONE(t1, 1) NN_ONE(t0, 0) NN_MAC1(c1, t1) NN_ONE(t1, 3) NN_MAC1(c0, t0) NN_ONE(t0, 2)    \
    NN_MAC1(c3, t1) NN_ONE(t1, 5) NN_MAC1(c2, t0) NN_ONE(t0, 4) NN_MAC1(c5, t1) NN_ONE(t1, 7)  \
    NN_MAC1(c4, t0) NN_ONE(t0, 6) NN_FETCH_AT NN_MAC1(c7, t1) NN_FETCH_END(t1) NN_MAC1(c6, t0) \
    NN_LEAVE(t1)
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
