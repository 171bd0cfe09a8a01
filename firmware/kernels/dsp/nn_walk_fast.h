/* nn_walk_fast.h (DSP) - the inner loops of nested layers, scheduled by hand.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The rules behind the order: on Cortex-M4 n loads in a row take n + 1 cycles but 2n when something stands
 * between them, and an address computed by the instruction before costs one more; on Cortex-M7 two loads pair
 * if bit 2 of their addresses differs, as in the two halves of a group of 4. All instructions are 32 bits
 * wide and the loop is 4-byte aligned: neither core likes 32-bit instructions across words. LSLS puts the
 * position byte's bit 7 ("last group") into the carry, which nothing after it touches, so one branch ends the
 * loop. Column p is read at a constant offset from x. At most 13 registers, so the loops also fit where a
 * frame pointer is kept.
 *
 * check: instructions a pass with P columns: groups of 4 7 + 4 P, groups of 2 (two a pass) 9 + 4 P, groups of
 * 1 5 + 2 P.
 */

/* The next group of 4: x moves to it; a and w become its weights 0, 1 and 2, 3. */
#define NN_GROUP_OF_4                        \
    "ldrb.w  %[t0], [%[position]], #1\n\t"   \
    "ldr.w   %[w], [%[weights]], #4\n\t"     \
    "lsls.w  %[t0], %[t0], #25\n\t"          \
    "add.w   %[x], %[x], %[t0], lsr #22\n\t" \
    "sxtb16  %[a], %[w]\n\t"                 \
    "sxtb16  %[w], %[w], ror #8\n\t"

/* The next two groups of 2, one after the other; a and w become their weights. */
#define NN_FIRST_GROUP_OF_2                 \
    "ldrb.w  %[t0], [%[position]], #1\n\t"  \
    "ldr.w   %[w], [%[weights]], #4\n\t"    \
    "add.w   %[x], %[x], %[t0], lsl #2\n\t" \
    "sxtb16  %[a], %[w]\n\t"                \
    "sxtb16  %[w], %[w], ror #8\n\t"
#define NN_SECOND_GROUP_OF_2               \
    "ldrb.w  %[t0], [%[position]], #1\n\t" \
    "lsls.w  %[t0], %[t0], #25\n\t"        \
    "add.w   %[x], %[x], %[t0], lsr #23\n\t"

/* The next weight. */
#define NN_GROUP_OF_1                      \
    "ldrb.w  %[t0], [%[position]], #1\n\t" \
    "ldrsb.w %[w], [%[weights]], #1\n\t"   \
    "lsls.w  %[t0], %[t0], #25\n\t"        \
    "add.w   %[x], %[x], %[t0], lsr #24\n\t"

/* Load from column p: a pair at a byte offset, or one element; multiply it with weights into accumulator c.
 */
#define NN_PAIR(t, p, byte) "ldr.w   %[" #t "], [%[x], #(%c[step] * " #p " + " #byte ")]\n\t"
#define NN_ONE(t, p)        "ldrsh.w %[" #t "], [%[x], #(%c[step] * " #p ")]\n\t"
#define NN_MAC2(c, t, w)    "smlad   %[" #c "], %[" #t "], %[" #w "], %[" #c "]\n\t"
#define NN_MAC1(c, t)       "mla     %[" #c "], %[" #t "], %[w], %[" #c "]\n\t"

/* Registers of a loop. */
#define NN_ACC1  [c0] "+r"(c0)
#define NN_ACC2  NN_ACC1, [c1] "+r"(c1)
#define NN_ACC3  NN_ACC2, [c2] "+r"(c2)
#define NN_ACC4  NN_ACC3, [c3] "+r"(c3)
#define NN_ACC8  NN_ACC4, [c4] "+r"(c4), [c5] "+r"(c5), [c6] "+r"(c6), [c7] "+r"(c7)
#define NN_TEMP1 [t0] "=&r"(t0)
#define NN_TEMP2 NN_TEMP1, [t1] "=&r"(t1)
#define NN_TEMP3 NN_TEMP2, [t2] "=&r"(t2)
#define NN_TEMP4 NN_TEMP3, [t3] "=&r"(t3)
#define NN_A     [a] "=&r"(a)

/* For each level: fetch the cursor (nn_stream: positions, then weights), loop over the segment's groups,
 * store the cursor. at, end and patch stay on the stack, because the inner loop needs the registers. */
#define NN_LOOP(body, ...)                                                                                 \
    __asm__ volatile(                                                                                      \
        "2:\n\t"                                                                                           \
        "ldr.w   %[t0], %[at]\n\t"                                                                         \
        "ldr.w   %[x], %[patch]\n\t"                                                                       \
        "ldrd    %[position], %[weights], [%[t0]]\n\t"                                                     \
        ".balign 4\n1:\n\t" body "bcc.w   1b\n\t"                                                          \
        "ldr.w   %[t0], %[at]\n\t"                                                                         \
        "ldr.w   %[w], %[end]\n\t"                                                                         \
        "strd    %[position], %[weights], [%[t0]], #8\n\t"                                                 \
        "str.w   %[t0], %[at]\n\t"                                                                         \
        "cmp     %[t0], %[w]\n\t"                                                                          \
        "bne.w   2b"                                                                                       \
        : [at] "+m"(at), [position] "=&r"(position), [weights] "=&r"(weights), [x] "=&r"(x), [w] "=&r"(w), \
          __VA_ARGS__                                                                                      \
        : [end] "m"(end), [patch] "m"(patch), [step] "i"(2 * step)                                         \
        : "cc", "memory")

/* clang-format off */
#define NN_LOOP_4X1                                                                      \
    NN_LOOP(NN_GROUP_OF_4 NN_PAIR(t0, 0, 0) NN_PAIR(t1, 0, 4)                            \
            NN_MAC2(c0, t0, a) NN_MAC2(c0, t1, w),                                       \
            NN_ACC1, NN_TEMP2, NN_A)
#define NN_LOOP_4X2                                                                      \
    NN_LOOP(NN_GROUP_OF_4 NN_PAIR(t0, 0, 0) NN_PAIR(t1, 0, 4) NN_PAIR(t2, 1, 0) NN_PAIR(t3, 1, 4)   \
            NN_MAC2(c0, t0, a) NN_MAC2(c0, t1, w) NN_MAC2(c1, t2, a) NN_MAC2(c1, t3, w), \
            NN_ACC2, NN_TEMP4, NN_A)
#define NN_LOOP_4X3                                                                      \
    NN_LOOP(NN_GROUP_OF_4 NN_PAIR(t0, 0, 0) NN_PAIR(t1, 0, 4) NN_PAIR(t2, 1, 0) NN_PAIR(t3, 1, 4)   \
            NN_MAC2(c0, t0, a) NN_MAC2(c0, t1, w) NN_MAC2(c1, t2, a) NN_MAC2(c1, t3, w)  \
            NN_PAIR(t0, 2, 0) NN_PAIR(t1, 2, 4)                                          \
            NN_MAC2(c2, t0, a) NN_MAC2(c2, t1, w),                                       \
            NN_ACC3, NN_TEMP4, NN_A)
#define NN_LOOP_4X4                                                                      \
    NN_LOOP(NN_GROUP_OF_4 NN_PAIR(t0, 0, 0) NN_PAIR(t1, 0, 4) NN_PAIR(t2, 1, 0) NN_PAIR(t3, 1, 4)   \
            NN_MAC2(c0, t0, a) NN_MAC2(c0, t1, w) NN_MAC2(c1, t2, a) NN_MAC2(c1, t3, w)  \
            NN_PAIR(t0, 2, 0) NN_PAIR(t1, 2, 4) NN_PAIR(t2, 3, 0) NN_PAIR(t3, 3, 4)      \
            NN_MAC2(c2, t0, a) NN_MAC2(c2, t1, w) NN_MAC2(c3, t2, a) NN_MAC2(c3, t3, w), \
            NN_ACC4, NN_TEMP4, NN_A)

#define NN_LOOP_2X1                                                                      \
    NN_LOOP(NN_FIRST_GROUP_OF_2 NN_PAIR(t0, 0, 0) NN_MAC2(c0, t0, a)                     \
            NN_SECOND_GROUP_OF_2 NN_PAIR(t0, 0, 0) NN_MAC2(c0, t0, w),                   \
            NN_ACC1, NN_TEMP1, NN_A)
#define NN_LOOP_2X2                                                                      \
    NN_LOOP(NN_FIRST_GROUP_OF_2 NN_PAIR(t0, 0, 0) NN_PAIR(t1, 1, 0)                      \
            NN_MAC2(c0, t0, a) NN_MAC2(c1, t1, a)                                        \
            NN_SECOND_GROUP_OF_2 NN_PAIR(t0, 0, 0) NN_PAIR(t1, 1, 0)                     \
            NN_MAC2(c0, t0, w) NN_MAC2(c1, t1, w),                                       \
            NN_ACC2, NN_TEMP2, NN_A)
#define NN_LOOP_2X3                                                                      \
    NN_LOOP(NN_FIRST_GROUP_OF_2 NN_PAIR(t0, 0, 0) NN_PAIR(t1, 1, 0) NN_PAIR(t2, 2, 0)    \
            NN_MAC2(c0, t0, a) NN_MAC2(c1, t1, a) NN_MAC2(c2, t2, a)                     \
            NN_SECOND_GROUP_OF_2 NN_PAIR(t0, 0, 0) NN_PAIR(t1, 1, 0) NN_PAIR(t2, 2, 0)   \
            NN_MAC2(c0, t0, w) NN_MAC2(c1, t1, w) NN_MAC2(c2, t2, w),                    \
            NN_ACC3, NN_TEMP3, NN_A)
#define NN_LOOP_2X4                                                                      \
    NN_LOOP(NN_FIRST_GROUP_OF_2 NN_PAIR(t0, 0, 0) NN_PAIR(t1, 1, 0) NN_PAIR(t2, 2, 0) NN_PAIR(t3, 3, 0)  \
            NN_MAC2(c0, t0, a) NN_MAC2(c1, t1, a) NN_MAC2(c2, t2, a) NN_MAC2(c3, t3, a)  \
            NN_SECOND_GROUP_OF_2 NN_PAIR(t0, 0, 0) NN_PAIR(t1, 1, 0) NN_PAIR(t2, 2, 0) NN_PAIR(t3, 3, 0) \
            NN_MAC2(c0, t0, w) NN_MAC2(c1, t1, w) NN_MAC2(c2, t2, w) NN_MAC2(c3, t3, w), \
            NN_ACC4, NN_TEMP4, NN_A)

#define NN_LOOP_1X1                                                                      \
    NN_LOOP(NN_GROUP_OF_1 NN_ONE(t0, 0) NN_MAC1(c0, t0), NN_ACC1, NN_TEMP1)
#define NN_LOOP_1X4                                                                      \
    NN_LOOP(NN_GROUP_OF_1 NN_ONE(t0, 0) NN_ONE(t1, 1) NN_ONE(t2, 2) NN_ONE(t3, 3)        \
            NN_MAC1(c0, t0) NN_MAC1(c1, t1) NN_MAC1(c2, t2) NN_MAC1(c3, t3),             \
            NN_ACC4, NN_TEMP4)
#define NN_LOOP_1X8                                                                      \
    NN_LOOP(NN_GROUP_OF_1                                                                \
            NN_ONE(t0, 0) NN_MAC1(c0, t0) NN_ONE(t0, 1) NN_MAC1(c1, t0)                  \
            NN_ONE(t0, 2) NN_MAC1(c2, t0) NN_ONE(t0, 3) NN_MAC1(c3, t0)                  \
            NN_ONE(t0, 4) NN_MAC1(c4, t0) NN_ONE(t0, 5) NN_MAC1(c5, t0)                  \
            NN_ONE(t0, 6) NN_MAC1(c6, t0) NN_ONE(t0, 7) NN_MAC1(c7, t0),                 \
            NN_ACC8, NN_TEMP1)
/* clang-format on */

NN_INLINE int nn_walk_fast(int32_t group, int32_t tile, int32_t step, nn_stream *cursor, uint32_t level,
                           const int16_t *patch, int32_t acc[NN_TILE_MAX])
{
    nn_stream *at = cursor;
    const nn_stream *const end = cursor + level + 1;
    const uint8_t *position;
    const int8_t *weights;
    const int16_t *x;
    uint32_t w, a, t0, t1, t2, t3;
    int32_t c0 = acc[0], c1 = acc[1], c2 = acc[2], c3 = acc[3];
    int32_t c4 = acc[4], c5 = acc[5], c6 = acc[6], c7 = acc[7];
    if (!__builtin_constant_p(step) || 2 * (tile - 1) * step + 4 > 4095) {
        return 0; /* without optimization, or with a column out of reach of a load's immediate offset */
    }
    switch (10 * group + tile) {
    case 41:
        NN_LOOP_4X1;
        break;
    case 42:
        NN_LOOP_4X2;
        break;
    case 43:
        NN_LOOP_4X3;
        break;
    case 44:
        NN_LOOP_4X4;
        break;
    case 21:
        NN_LOOP_2X1;
        break;
    case 22:
        NN_LOOP_2X2;
        break;
    case 23:
        NN_LOOP_2X3;
        break;
    case 24:
        NN_LOOP_2X4;
        break;
    case 11:
        NN_LOOP_1X1;
        break;
    case 14:
        NN_LOOP_1X4;
        break;
    case 18:
        NN_LOOP_1X8;
        break;
    default:
        return 0;
    }
    acc[0] = c0;
    acc[1] = c1;
    acc[2] = c2;
    acc[3] = c3;
    acc[4] = c4;
    acc[5] = c5;
    acc[6] = c6;
    acc[7] = c7;
    return 1;
}
