/* nn_dot_fast.h (DSP) - the inner loops of dense layers, scheduled by hand.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Per four elements a row costs a load and two SXTB16, a column two loads, a product of both two SMLAD: two
 * rows by two columns are 18 instructions for 16 multiply-accumulates, four rows by one column 22. Loads
 * stand together (Cortex-M4: n + 1 cycles), the two halves of a column next to each other (Cortex-M7:
 * different banks, so they pair); what writes its base back comes last. The body is repeated up to 3 times,
 * as the row's length allows. At most 13 registers: the end of the loop stays on the stack.
 */

#define NN_DOT_LOOP(body)                                                                             \
    __asm__ volatile(".balign 4\n1:\n\t" body "ldr.w   %[a], %[end]\n\t"                              \
                     "cmp     %[w], %[a]\n\t"                                                         \
                     "bne.w   1b"                                                                     \
                     : [w] "+r"(w), [x] "+r"(x), [a] "=&r"(a), [p0] "=&r"(p0), [p1] "=&r"(p1),        \
                       [q0] "=&r"(q0), [q1] "=&r"(q1), [q2] "=&r"(q2), [q3] "=&r"(q3), [c0] "+r"(c0), \
                       [c1] "+r"(c1), [c2] "+r"(c2), [c3] "+r"(c3)                                    \
                     : [end] "m"(end), [row] "i"(row_bytes), [step] "i"(2 * step)                     \
                     : "cc", "memory")

/* As often as divides the row's length. Spelt out, not .rept: the compiler sizes the code by its lines. */
#define NN_DOT_REPEAT(body)              \
    do {                                 \
        if (row_bytes % 12 == 0) {       \
            NN_DOT_LOOP(body body body); \
        } else if (row_bytes % 8 == 0) { \
            NN_DOT_LOOP(body body);      \
        } else {                         \
            NN_DOT_LOOP(body);           \
        }                                \
    } while (0)

#define NN_DOT_MAC(c, x, w) "smlad   %[" #c "], %[" #x "], %[" #w "], %[" #c "]\n\t"
#define NN_DOT_SPLIT(q)           \
    "sxtb16  %[a], %[" #q "]\n\t" \
    "sxtb16  %[" #q "], %[" #q "], ror #8\n\t"

/* clang-format off */
/* Two rows, two columns: column 0 in p0, p1; column 1 in q2, q3. */
#define NN_DOT_2X2                                     \
    "ldr.w   %[q1], [%[w], #%c[row]]\n\t"              \
    "ldr.w   %[q0], [%[w]], #4\n\t"                    \
    "ldr.w   %[q2], [%[x], #%c[step]]\n\t"             \
    "ldr.w   %[q3], [%[x], #(%c[step] + 4)]\n\t"       \
    "ldr.w   %[p1], [%[x], #4]\n\t"                    \
    "ldr.w   %[p0], [%[x]], #8\n\t"                    \
    NN_DOT_SPLIT(q0)                                   \
    NN_DOT_MAC(c0, p0, a) NN_DOT_MAC(c0, p1, q0)       \
    NN_DOT_MAC(c1, q2, a) NN_DOT_MAC(c1, q3, q0)       \
    NN_DOT_SPLIT(q1)                                   \
    NN_DOT_MAC(c2, p0, a) NN_DOT_MAC(c2, p1, q1)       \
    NN_DOT_MAC(c3, q2, a) NN_DOT_MAC(c3, q3, q1)

/* Four rows, one column. */
#define NN_DOT_4X1                                     \
    "ldr.w   %[q1], [%[w], #%c[row]]\n\t"              \
    "ldr.w   %[q2], [%[w], #(%c[row] * 2)]\n\t"        \
    "ldr.w   %[q3], [%[w], #(%c[row] * 3)]\n\t"        \
    "ldr.w   %[q0], [%[w]], #4\n\t"                    \
    "ldr.w   %[p1], [%[x], #4]\n\t"                    \
    "ldr.w   %[p0], [%[x]], #8\n\t"                    \
    NN_DOT_SPLIT(q0) NN_DOT_MAC(c0, p0, a) NN_DOT_MAC(c0, p1, q0) \
    NN_DOT_SPLIT(q1) NN_DOT_MAC(c1, p0, a) NN_DOT_MAC(c1, p1, q1) \
    NN_DOT_SPLIT(q2) NN_DOT_MAC(c2, p0, a) NN_DOT_MAC(c2, p1, q2) \
    NN_DOT_SPLIT(q3) NN_DOT_MAC(c3, p0, a) NN_DOT_MAC(c3, p1, q3)

/* clang-format on */

NN_INLINE int nn_dot_fast(int32_t rows, int32_t columns, int32_t row_bytes, int32_t step,
                          const int8_t *weights, const int16_t *patch, int32_t acc[NN_DOT_MAX])
{
    const int8_t *w = weights;
    const int8_t *const end = weights + row_bytes;
    const int16_t *x = patch;
    uint32_t a, p0, p1, q0, q1, q2, q3;
    int32_t c0 = acc[0], c1 = acc[1], c2 = acc[2], c3 = acc[3];
    if (!__builtin_constant_p(row_bytes) || !__builtin_constant_p(step)) {
        return 0; /* without optimization */
    }
    if (rows == 2 && columns == 2 && row_bytes <= 4095 && 2 * step + 4 <= 4095) {
        NN_DOT_REPEAT(NN_DOT_2X2);
    } else if (rows == 4 && columns == 1 && 3 * row_bytes <= 4095) {
        NN_DOT_REPEAT(NN_DOT_4X1);
    } else {
        return 0;
    }
    acc[0] = c0;
    acc[1] = c1;
    acc[2] = c2;
    acc[3] = c3;
    return 1;
}
