/* nn_dot_asm_dsp.h - the inner loops of dense layers, scheduled by hand for Cortex-M4.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Loads stand together (n + 1 cycles), each base is written back by the last load of its group, and all
 * instructions are 4 bytes long on 4-byte boundaries. Two rows by three columns take 8 loads in two groups,
 * 4 SXTB16 and 12 SMLAD: 26 cycles for 24 multiply-accumulates, and a quarter of the loop's 5.
 *
 * check: NN_DOT_2X3_EVEN(NN_DOT_MAC, ) has 24 instructions
 * check: NN_DOT_2X2_EVEN(NN_DOT_MAC, ) has 18 instructions
 */
#ifndef NN_DOT_ASM_DSP_H
#define NN_DOT_ASM_DSP_H

#define NN_DOT_SPARE    0
#define NN_DOT_2X2_TURN 4

/* clang-format off */
/* Two rows r9 r10, three columns r11 r12 lr of two elements at a time. */
#define NN_DOT_2X3_COLUMNS                                                             \
    NN_DOT_LOAD(r12, NN_DOT_AT_COLUMN(1, 0)) NN_DOT_LOAD(lr, NN_DOT_AT_COLUMN(2, 0))   \
    NN_DOT_LOAD(r11, "[r1], #4")
#define NN_DOT_2X3_SETUP ""
#define NN_DOT_2X3_SETUP_ODD ""
#define NN_DOT_2X3_CHECK NN_DOT_END(r7)
#define NN_DOT_2X3_EVEN(mac, end)                                                      \
    NN_DOT_LOAD(r10, NN_DOT_AT_ROW(1)) NN_DOT_LOAD(r9, "[r0], #4") NN_DOT_2X3_COLUMNS  \
    NN_DOT_LOW(r7, r9) mac(r2, r11, r7) mac(r3, r12, r7) mac(r4, lr, r7)               \
    NN_DOT_LOW(r7, r10) mac(r5, r11, r7) mac(r6, r12, r7) mac(r8, lr, r7)              \
    NN_DOT_HIGH(r9, r9) NN_DOT_HIGH(r10, r10) NN_DOT_2X3_COLUMNS end                   \
    NN_DOT_MAC(r2, r11, r9) NN_DOT_MAC(r3, r12, r9) NN_DOT_MAC(r4, lr, r9)             \
    NN_DOT_MAC(r5, r11, r10) NN_DOT_MAC(r6, r12, r10) NN_DOT_MAC(r8, lr, r10)
#define NN_DOT_2X3_ODD NN_DOT_2X3_EVEN
#define NN_DOT_2X3_EVEN_LAST(mac) NN_DOT_2X3_EVEN(mac, )
#define NN_DOT_2X3_ODD_LAST NN_DOT_2X3_EVEN_LAST

/* Two rows r9 r10, two columns r11 r12 and lr r8. */
#define NN_DOT_2X2_SETUP ""
#define NN_DOT_2X2_SETUP_ODD ""
#define NN_DOT_2X2_CHECK NN_DOT_END(r7)
#define NN_DOT_2X2_EVEN(mac, end)                                                      \
    NN_DOT_LOAD(r10, NN_DOT_AT_ROW(1)) NN_DOT_LOAD(r9, "[r0], #4")                     \
    NN_DOT_LOAD(lr, NN_DOT_AT_COLUMN(1, 0)) NN_DOT_LOAD(r8, NN_DOT_AT_COLUMN(1, 4))    \
    NN_DOT_LOAD(r12, NN_DOT_AT_COLUMN(0, 4)) NN_DOT_LOAD(r11, "[r1], #8") end          \
    NN_DOT_LOW(r7, r9) mac(r2, r11, r7) mac(r3, lr, r7)                                \
    NN_DOT_HIGH(r9, r9) NN_DOT_MAC(r2, r12, r9) NN_DOT_MAC(r3, r8, r9)                 \
    NN_DOT_LOW(r7, r10) mac(r4, r11, r7) mac(r5, lr, r7)                               \
    NN_DOT_HIGH(r10, r10) NN_DOT_MAC(r4, r12, r10) NN_DOT_MAC(r5, r8, r10)
#define NN_DOT_2X2_ODD NN_DOT_2X2_EVEN
#define NN_DOT_2X2_EVEN_LAST(mac) NN_DOT_2X2_EVEN(mac, )
#define NN_DOT_2X2_ODD_LAST NN_DOT_2X2_EVEN_LAST
/* clang-format on */

#endif
