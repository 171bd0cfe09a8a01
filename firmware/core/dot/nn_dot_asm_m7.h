/* nn_dot_asm_m7.h - the inner loops of dense layers, scheduled by hand for Cortex-M7.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Every multiply shares its cycle with a load or an SXTB16 (which must be the older of the two). What a pass
 * multiplies first was loaded in the pass before, two cycles or more ago, so the four registers of the rows
 * change roles from pass to pass: one pair holds elements 0 1 while the other turns from all four into 2 3.
 * Two rows by three columns: 53 cycles for four passes of 24 multiply-accumulates and the loop.
 *
 * check: NN_DOT_2X3_EVEN(NN_DOT_MAC, ) has 24 instructions
 * check: NN_DOT_2X3_EVEN_LAST(NN_DOT_MAC) has 19 instructions
 * check: NN_DOT_2X2_EVEN(NN_DOT_MAC, ) has 18 instructions
 * check: NN_DOT_2X2_EVEN_LAST(NN_DOT_MAC) has 11 instructions
 */
#ifndef NN_DOT_ASM_M7_H
#define NN_DOT_ASM_M7_H

#define NN_DOT_SPARE    1
#define NN_DOT_2X2_TURN 2

/* clang-format off */
/* Two rows, three columns. p0 p1: elements 0 1 of the rows, p1 yet to come; q0 q1: all four. r11, r12: elements
 * 0 1 of columns 0 and 1, then whatever comes next. */
#define NN_DOT_2X3_FIRST(p0, q0, q1)                                                       \
    NN_DOT_LOAD(q0, "[r0]") NN_DOT_LOAD(r11, "[r1]") NN_DOT_LOAD(q1, NN_DOT_AT_ROW(1))     \
    NN_DOT_LOAD(r12, NN_DOT_AT_COLUMN(1, 0)) NN_DOT_LOW(p0, q0)
#define NN_DOT_2X3_SETUP NN_DOT_2X3_FIRST(r7, r9, r10)
#define NN_DOT_2X3_SETUP_ODD NN_DOT_2X3_FIRST(r9, r7, lr)
#define NN_DOT_2X3_CHECK NN_DOT_END(r12)
#define NN_DOT_2X3_START(mac, p0, p1, q0, q1)                                              \
    NN_DOT_LOW(p1, q1) mac(r2, r11, p0)                                                    \
    NN_DOT_HIGH(q0, q0) mac(r5, r11, p1)                                                   \
    NN_DOT_LOAD(r11, NN_DOT_AT_COLUMN(2, 0)) mac(r3, r12, p0)                              \
    mac(r6, r12, p1) NN_DOT_LOAD(r12, NN_DOT_AT_COLUMN(0, 4))                              \
    NN_DOT_HIGH(q1, q1) mac(r4, r11, p0)                                                   \
    mac(r8, r11, p1) NN_DOT_LOAD(r11, NN_DOT_AT_COLUMN(1, 4))
#define NN_DOT_2X3_PASS(mac, p0, p1, q0, q1, end)                                          \
    NN_DOT_2X3_START(mac, p0, p1, q0, q1)                                                  \
    NN_DOT_LOAD(p0, "[r0, #4]!") NN_DOT_MAC(r2, r12, q0)                                   \
    NN_DOT_MAC(r5, r12, q1) NN_DOT_LOAD(r12, NN_DOT_AT_COLUMN(2, 4))                       \
    NN_DOT_LOAD(p1, NN_DOT_AT_ROW(1)) NN_DOT_MAC(r3, r11, q0)                              \
    NN_DOT_MAC(r6, r11, q1) NN_DOT_LOAD(r11, "[r1, #8]!")                                  \
    NN_DOT_MAC(r4, r12, q0) NN_DOT_MAC(r8, r12, q1)                                        \
    end NN_DOT_LOAD(r12, NN_DOT_AT_COLUMN(1, 0)) NN_DOT_LOW(q0, p0)
#define NN_DOT_2X3_FINISH(mac, p0, p1, q0, q1)                                             \
    NN_DOT_2X3_START(mac, p0, p1, q0, q1)                                                  \
    NN_DOT_LOAD(p0, NN_DOT_AT_COLUMN(2, 4)) NN_DOT_MAC(r2, r12, q0)                        \
    NN_DOT_MAC(r5, r12, q1) NN_DOT_MAC(r3, r11, q0) NN_DOT_MAC(r6, r11, q1)                \
    NN_DOT_MAC(r4, p0, q0) NN_DOT_MAC(r8, p0, q1)
#define NN_DOT_2X3_EVEN(mac, end) NN_DOT_2X3_PASS(mac, r7, lr, r9, r10, end)
#define NN_DOT_2X3_ODD(mac, end) NN_DOT_2X3_PASS(mac, r9, r10, r7, lr, end)
#define NN_DOT_2X3_EVEN_LAST(mac) NN_DOT_2X3_FINISH(mac, r7, lr, r9, r10)
#define NN_DOT_2X3_ODD_LAST(mac) NN_DOT_2X3_FINISH(mac, r9, r10, r7, lr)

/* Two rows, two columns: r11 r6 and r12 r8. */
#define NN_DOT_2X2_SETUP                                                                   \
    NN_DOT_LOAD(r9, "[r0]") NN_DOT_LOAD(r11, "[r1]") NN_DOT_LOAD(r10, NN_DOT_AT_ROW(1))    \
    NN_DOT_LOAD(r12, NN_DOT_AT_COLUMN(1, 0)) NN_DOT_LOW(r7, r9)                            \
    NN_DOT_LOAD(r6, NN_DOT_AT_COLUMN(0, 4)) NN_DOT_LOAD(r8, NN_DOT_AT_COLUMN(1, 4))
#define NN_DOT_2X2_SETUP_ODD NN_DOT_2X2_SETUP
#define NN_DOT_2X2_CHECK NN_DOT_END(r12)
#define NN_DOT_2X2_START(mac, p0, p1, q0, q1)                                              \
    NN_DOT_LOW(p1, q1) mac(r2, r11, p0)                                                    \
    NN_DOT_HIGH(q0, q0) mac(r3, r12, p0)                                                   \
    NN_DOT_HIGH(q1, q1) mac(r4, r11, p1)
#define NN_DOT_2X2_PASS(mac, p0, p1, q0, q1, end)                                          \
    NN_DOT_2X2_START(mac, p0, p1, q0, q1)                                                  \
    NN_DOT_LOAD(p0, "[r0, #4]!") mac(r5, r12, p1)                                          \
    NN_DOT_LOAD(p1, NN_DOT_AT_ROW(1)) NN_DOT_MAC(r2, r6, q0)                               \
    NN_DOT_LOAD(r11, "[r1, #8]!") NN_DOT_MAC(r3, r8, q0)                                   \
    NN_DOT_LOW(q0, p0) NN_DOT_MAC(r4, r6, q1)                                              \
    end NN_DOT_LOAD(r6, NN_DOT_AT_COLUMN(0, 4)) NN_DOT_LOAD(r12, NN_DOT_AT_COLUMN(1, 0))   \
    NN_DOT_MAC(r5, r8, q1) NN_DOT_LOAD(r8, NN_DOT_AT_COLUMN(1, 4))
#define NN_DOT_2X2_FINISH(mac, p0, p1, q0, q1)                                             \
    NN_DOT_2X2_START(mac, p0, p1, q0, q1)                                                  \
    mac(r5, r12, p1) NN_DOT_MAC(r2, r6, q0) NN_DOT_MAC(r3, r8, q0)                         \
    NN_DOT_MAC(r4, r6, q1) NN_DOT_MAC(r5, r8, q1)
#define NN_DOT_2X2_EVEN(mac, end) NN_DOT_2X2_PASS(mac, r7, lr, r9, r10, end)
#define NN_DOT_2X2_ODD(mac, end) NN_DOT_2X2_PASS(mac, r9, r10, r7, lr, end)
#define NN_DOT_2X2_EVEN_LAST(mac) NN_DOT_2X2_FINISH(mac, r7, lr, r9, r10)
#define NN_DOT_2X2_ODD_LAST(mac) NN_DOT_2X2_FINISH(mac, r9, r10, r7, lr)
/* clang-format on */

#endif
