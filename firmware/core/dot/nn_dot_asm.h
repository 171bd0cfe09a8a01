/* nn_dot_asm.h - what the hand-scheduled dot products of Cortex-M4 and M7 share: registers and repetition.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A pass takes four elements of every row and column.
 *
 * A tile shape is six macros: SETUP, loads before the first pass; EVEN(mac, end) and ODD(mac, end), passes
 * that alternate; EVEN_LAST(mac) and ODD_LAST(mac), which load nothing for a pass to come. mac: NN_DOT_MUL in
 * a first pass, which sets the accumulators, else NN_DOT_MAC. end: NN_DOT_END(register) in a loop's last
 * pass, where that register is free, else nothing. A pass leaves r0 four bytes further on.
 *
 * twin:      nn_dot_dsp.h, by intrinsics
 * registers: r0 the weights, r1 the patch, then the accumulators in row-major order from r2 on (r7 left
 *            out), the others hold rows and columns: all 14. r7 may be the frame pointer, so the compiler is
 *            not told of it: it is saved beside the loop's end
 * stack:     8 bytes
 * flags:     changed
 * check:     NN_DOT_4X1_EVEN(NN_DOT_MAC, ) has 22 instructions
 */
#ifndef NN_DOT_ASM_H
#define NN_DOT_ASM_H

#include "nn_dot.h"
#if NN_KERNELS_USE_M7
#include "nn_dot_asm_m7.h"
#else
#include "nn_dot_asm_dsp.h"
#endif

#define NN_DOT_MUL(acc, x, w) "smuad   " #acc ", " #x ", " #w "\n\t"
#define NN_DOT_MAC(acc, x, w) "smlad   " #acc ", " #x ", " #w ", " #acc "\n\t"
#define NN_DOT_LOW(to, from)  "sxtb16  " #to ", " #from "\n\t"
#define NN_DOT_HIGH(to, from) "sxtb16  " #to ", " #from ", ror #8\n\t"
#define NN_DOT_LOAD(to, from) "ldr.w   " #to ", " from "\n\t"
#define NN_DOT_END(free)      NN_DOT_LOAD(free, "[sp, #4]") "cmp.w   r0, " #free "\n\t"

/* Where row j and column p continue. */
#define NN_DOT_AT_ROW(j)        "[r0, #(%c[row] * " #j ")]"
#define NN_DOT_AT_COLUMN(p, at) "[r1, #(%c[step] * " #p " + " #at ")]"

/* Up to so many passes are spelt out, more are looped. */
#define NN_DOT_SPELT 10

/* clang-format off */
#define NN_DOT_RUN(save, text)                                                             \
    __asm__ volatile(save text "ldr     r7, [sp], #8"                                      \
                     : "+r"(w), "+r"(x), [end] "+r"(end), "=&r"(c0), "=&r"(c1),            \
                       "=&r"(c2), "=&r"(c3), "=&r"(c4), "=&r"(c5), "=&r"(d1), "=&r"(d2),   \
                       "=&r"(d3), "=&r"(d4)                                                \
                     : [row] "i"(row_bytes), [step] "i"(2 * step)                          \
                     : "cc", "memory")

#define NN_DOT_TWO(shape, mac, end) shape##_EVEN(mac, ) shape##_ODD(NN_DOT_MAC, end)

/* The last 0 to 4 passes, or all. Spelt out, not .rept: the compiler sizes the code by its lines. */
#define NN_DOT_LAST_0(shape, mac) ""
#define NN_DOT_LAST_1(shape, mac) shape##_EVEN_LAST(mac)
#define NN_DOT_LAST_2(shape, mac) shape##_EVEN(mac, ) shape##_ODD_LAST(NN_DOT_MAC)
#define NN_DOT_LAST_3(shape, mac) NN_DOT_TWO(shape, mac, ) NN_DOT_LAST_1(shape, NN_DOT_MAC)
#define NN_DOT_LAST_4(shape, mac) NN_DOT_TWO(shape, mac, ) NN_DOT_LAST_2(shape, NN_DOT_MAC)
#define NN_DOT_LAST_5(shape, mac) NN_DOT_TWO(shape, mac, ) NN_DOT_LAST_3(shape, NN_DOT_MAC)
#define NN_DOT_LAST_6(shape, mac) NN_DOT_TWO(shape, mac, ) NN_DOT_LAST_4(shape, NN_DOT_MAC)
#define NN_DOT_LAST_7(shape, mac) NN_DOT_TWO(shape, mac, ) NN_DOT_LAST_5(shape, NN_DOT_MAC)
#define NN_DOT_LAST_8(shape, mac) NN_DOT_TWO(shape, mac, ) NN_DOT_LAST_6(shape, NN_DOT_MAC)
#define NN_DOT_LAST_9(shape, mac) NN_DOT_TWO(shape, mac, ) NN_DOT_LAST_7(shape, NN_DOT_MAC)
#define NN_DOT_LAST_10(shape, mac) NN_DOT_TWO(shape, mac, ) NN_DOT_LAST_8(shape, NN_DOT_MAC)

/* Passes in a loop up to end, two or four a turn, then the last ones. Four last ones, where a tile has a last
 * one at all, are one, and a first turn that starts with its second pass. */
#define NN_DOT_LOOP_2(shape) NN_DOT_TWO(shape, NN_DOT_MAC, shape##_CHECK)
#define NN_DOT_LOOP_4(shape)                                                               \
    shape##_EVEN(NN_DOT_MAC, ) "2:\n\t" shape##_ODD(NN_DOT_MAC, ) NN_DOT_LOOP_2(shape)
#define NN_DOT_LOOP(shape, turn, setup, last)                                              \
    NN_DOT_RUN("strd    r7, %[end], [sp, #-8]!\n\t",                                       \
               "movs    r2, #0\n\tmov     r3, r2\n\tmov     r4, r2\n\tmov     r5, r2\n\t"  \
               "mov     r6, r2\n\tmov     r8, r2\n\t" setup ".balign 4\n1:\n\t"           \
               NN_DOT_LOOP_##turn(shape) "bne.w   1b\n\t" NN_DOT_LAST_##last(shape, NN_DOT_MAC))
#define NN_DOT_ALL(shape, n)                                                               \
    NN_DOT_RUN("str     r7, [sp, #-8]!\n\t", shape##_SETUP NN_DOT_LAST_##n(shape, NN_DOT_MUL))

/* turn: a literal 2 or 4. */
#define NN_DOT_SHAPE(shape, turn)                                                          \
    last = (passes - NN_DOT_SPARE) % (turn) + NN_DOT_SPARE;                                \
    end = w + 4 * (passes - last);                                                         \
    switch (passes > NN_DOT_SPELT ? -last : passes) {                                      \
    case 0: NN_DOT_LOOP(shape, turn, shape##_SETUP, 0); break;                                            \
    case -1: NN_DOT_LOOP(shape, turn, shape##_SETUP, 1); break;                                           \
    case -2: NN_DOT_LOOP(shape, turn, shape##_SETUP, 2); break;                                           \
    case -3: NN_DOT_LOOP(shape, turn, shape##_SETUP, 3); break;                                           \
    case -4:                                                                               \
        end += 12;                                                                         \
        NN_DOT_LOOP(shape, turn, shape##_SETUP_ODD "b.w     2f\n\t", 1);                    \
        break;                                                                             \
    case 1: NN_DOT_ALL(shape, 1); break;                                                   \
    case 2: NN_DOT_ALL(shape, 2); break;                                                   \
    case 3: NN_DOT_ALL(shape, 3); break;                                                   \
    case 4: NN_DOT_ALL(shape, 4); break;                                                   \
    case 5: NN_DOT_ALL(shape, 5); break;                                                   \
    case 6: NN_DOT_ALL(shape, 6); break;                                                   \
    case 7: NN_DOT_ALL(shape, 7); break;                                                   \
    case 8: NN_DOT_ALL(shape, 8); break;                                                   \
    case 9: NN_DOT_ALL(shape, 9); break;                                                   \
    default: NN_DOT_ALL(shape, 10); break;                                                 \
    }

/* Four rows, one column: the rows r9 r10 r6 lr, the column r11 r12. */
#define NN_DOT_4X1_ROW(mac, acc, row, low)                                                 \
    NN_DOT_LOW(low, row) NN_DOT_HIGH(row, row)                                             \
    mac(acc, r11, low) NN_DOT_MAC(acc, r12, row)
#define NN_DOT_4X1_SETUP ""
#define NN_DOT_4X1_SETUP_ODD ""
#define NN_DOT_4X1_CHECK NN_DOT_END(r11)
#define NN_DOT_4X1_EVEN(mac, end)                                                          \
    NN_DOT_LOAD(r10, NN_DOT_AT_ROW(1)) NN_DOT_LOAD(r6, NN_DOT_AT_ROW(2))                   \
    NN_DOT_LOAD(lr, NN_DOT_AT_ROW(3)) NN_DOT_LOAD(r9, "[r0], #4")                          \
    NN_DOT_LOAD(r12, NN_DOT_AT_COLUMN(0, 4)) NN_DOT_LOAD(r11, "[r1], #8")                  \
    NN_DOT_4X1_ROW(mac, r2, r9, r7) NN_DOT_4X1_ROW(mac, r3, r10, r8)                       \
    NN_DOT_4X1_ROW(mac, r4, r6, r7) NN_DOT_4X1_ROW(mac, r5, lr, r8) end
#define NN_DOT_4X1_ODD NN_DOT_4X1_EVEN
#define NN_DOT_4X1_EVEN_LAST(mac) NN_DOT_4X1_EVEN(mac, )
#define NN_DOT_4X1_ODD_LAST NN_DOT_4X1_EVEN_LAST
/* clang-format on */

NN_INLINE int nn_dot_asm(int32_t rows, int32_t columns, int32_t row_bytes, int32_t step,
                         const int8_t **weights, const int16_t **patch, int32_t acc[NN_DOT_MAX])
{
    const int32_t passes = row_bytes / 4;
    int32_t last, back = NN_DOT_SPARE;
    register const int8_t *w __asm__("r0") = *weights;
    register const int16_t *x __asm__("r1") = *patch;
    register int32_t c0 __asm__("r2");
    register int32_t c1 __asm__("r3");
    register int32_t c2 __asm__("r4");
    register int32_t c3 __asm__("r5");
    register int32_t c4 __asm__("r6");
    register int32_t c5 __asm__("r8");
    register const int8_t *end __asm__("r9");
    register uint32_t d1 __asm__("r10");
    register uint32_t d2 __asm__("r11");
    register uint32_t d3 __asm__("r12");
    register uint32_t d4 __asm__("lr");
    if (!__builtin_constant_p(row_bytes) || !__builtin_constant_p(step)) {
        return 0; /* without optimization */
    }
    if (rows == 2 && columns == 3 && row_bytes <= 4095 && 4 * step + 4 <= 4095) {
        NN_DOT_SHAPE(NN_DOT_2X3, 4)
    } else if (rows == 2 && columns == 2 && row_bytes <= 4095 && 2 * step + 4 <= 4095) {
        NN_DOT_SHAPE(NN_DOT_2X2, NN_DOT_2X2_TURN)
    } else if (rows == 4 && columns == 1 && 3 * row_bytes <= 4095) {
        NN_DOT_SHAPE(NN_DOT_4X1, 4)
        back = 0;
    } else {
        return 0;
    }
    *weights = w + 4 * back;
    *patch = x + 4 * back;
    acc[0] = c0;
    acc[1] = c1;
    acc[2] = c2;
    acc[3] = c3;
    if (columns == 3) {
        acc[4] = c4;
        acc[5] = c5;
    }
    return 1;
}

#endif
