/* nn_put_asm.h - requantize and store the wide tiles, scheduled by hand.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The order suits Cortex-M7: SSAT and STRB share a cycle, SMMLAR and STRB cannot, each result is used two
 * cycles later. Cortex-M4 only cares that loads stand together. The first column comes last, so that its
 * access moves the pointer. The comparison's flags last to the end: nothing after it sets any.
 *
 * twin:      nn_put in nn_put.h, by intrinsics
 * registers: o, h, m, b, t and an accumulator per column; q, k, f with a residual
 * flags:     Z is an output
 * check:     NN_PUT_4(NN_PUT_NO_SHIFT) has 19 instructions
 * check:     NN_PUT_5(NN_PUT_NO_SHIFT) has 22 instructions
 * check:     NN_PUT_6(NN_PUT_NO_SHIFT) has 25 instructions
 * check:     NN_PUT_6(NN_PUT_SHIFT) has 25 + 6 instructions
 * check:     NN_PUT_6_RESIDUAL(NN_PUT_NO_SHIFT) has 47 instructions
 * cycles:    a channel on Cortex-M4 and M7, modelled: 35 and 19 at 6 columns, 62 and 29 with a residual
 */
#ifndef NN_PUT_ASM_H
#define NN_PUT_ASM_H

#include "nn_put.h"

/* At first o is the target's address; the numbers are its members' offsets. */
#define NN_PUT_GET(t, at)      "ldr.w   %[" #t "], [%[o], #" #at "]\n\t"
#define NN_PUT_SET(t, at)      "str.w   %[" #t "], [%[o], #" #at "]\n\t"
#define NN_PUT_SAVE(t, member) "str.w   %[" #t "], %[" #member "]\n\t"
#define NN_PUT_GET_CHANNEL     "ldrd    %[m], %[b], [%[h]], #8\n\t"
#define NN_PUT_COMPARE         "cmp.w   %[h], %[t]\n\t"
#define NN_PUT_SHIFT(c)        "lsl.w   %[" #c "], %[" #c "], %[pre_shift]\n\t"
#define NN_PUT_NO_SHIFT(c)     ""
#define NN_PUT_SCALE(c)        "smmlar  %[" #c "], %[" #c "], %[m], %[b]\n\t"
#define NN_PUT_CLAMP(c)        "ssat    %[" #c "], #8, %[" #c "], asr %[fraction]\n\t"
#define NN_PUT_ONE(c, p)       "strb.w  %[" #c "], [%[o], #(%c[out_c] * " #p ")]\n\t"
#define NN_PUT_LAST(c)         "strb.w  %[" #c "], [%[o]], #1\n\t"
#define NN_PUT_GET_ONE(t, p)   "ldrsb.w %[" #t "], [%[q], #(%c[out_c] * " #p ")]\n\t"
#define NN_PUT_GET_LAST(t)     "ldrsb.w %[" #t "], [%[q]], #1\n\t"
#define NN_PUT_WEIGH(t)        "mla     %[" #t "], %[" #t "], %[k], %[f]\n\t"
#define NN_PUT_ADD(c, t)       "add.w   %[" #c "], %[" #c "], %[" #t "], asr #16\n\t"

/* clang-format off */
#define NN_PUT_4(shift)                                                                       \
    shift(c0) NN_PUT_GET(h, 4) NN_PUT_GET(t, 8) shift(c2) NN_PUT_GET_CHANNEL NN_PUT_SET(h, 4) \
    NN_PUT_SCALE(c0) shift(c1) NN_PUT_SCALE(c1) shift(c3) NN_PUT_GET(o, 0) NN_PUT_SCALE(c2)   \
    NN_PUT_CLAMP(c1) NN_PUT_SCALE(c3) NN_PUT_CLAMP(c2) NN_PUT_ONE(c2, 2) NN_PUT_CLAMP(c3)     \
    NN_PUT_ONE(c1, 1) NN_PUT_ONE(c3, 3) NN_PUT_CLAMP(c0) NN_PUT_LAST(c0) NN_PUT_COMPARE       \
    NN_PUT_SAVE(o, out)

#define NN_PUT_5(shift)                                                                            \
    shift(c3) shift(c2) shift(c0) NN_PUT_GET(h, 4) NN_PUT_GET(t, 8) NN_PUT_GET_CHANNEL shift(c4)   \
    NN_PUT_SET(h, 4) shift(c1) NN_PUT_SCALE(c2) NN_PUT_SCALE(c4) NN_PUT_GET(o, 0) NN_PUT_CLAMP(c2) \
    NN_PUT_SCALE(c0) NN_PUT_CLAMP(c4) NN_PUT_ONE(c2, 2) NN_PUT_SCALE(c1) NN_PUT_COMPARE            \
    NN_PUT_SCALE(c3) NN_PUT_CLAMP(c1) NN_PUT_ONE(c1, 1) NN_PUT_CLAMP(c3) NN_PUT_ONE(c4, 4)         \
    NN_PUT_ONE(c3, 3) NN_PUT_CLAMP(c0) NN_PUT_LAST(c0) NN_PUT_SAVE(o, out)

#define NN_PUT_6(shift)                                                                          \
    shift(c3) shift(c4) shift(c5) NN_PUT_GET(h, 4) NN_PUT_GET(t, 8) shift(c2) NN_PUT_GET_CHANNEL \
    shift(c1) NN_PUT_SET(h, 4) NN_PUT_SCALE(c2) shift(c0) NN_PUT_SCALE(c3) NN_PUT_GET(o, 0)      \
    NN_PUT_SCALE(c1) NN_PUT_SCALE(c4) NN_PUT_CLAMP(c3) NN_PUT_SCALE(c0) NN_PUT_CLAMP(c1)         \
    NN_PUT_SCALE(c5) NN_PUT_CLAMP(c4) NN_PUT_ONE(c4, 4) NN_PUT_ONE(c1, 1) NN_PUT_CLAMP(c2)       \
    NN_PUT_ONE(c2, 2) NN_PUT_COMPARE NN_PUT_ONE(c3, 3) NN_PUT_CLAMP(c5) NN_PUT_ONE(c5, 5)        \
    NN_PUT_CLAMP(c0) NN_PUT_LAST(c0) NN_PUT_SAVE(o, out)

#define NN_PUT_4_RESIDUAL(shift)                                                                \
    shift(c2) shift(c1) NN_PUT_GET(h, 4) NN_PUT_GET(t, 8) NN_PUT_GET(k, 16) NN_PUT_GET(q, 12)   \
    NN_PUT_GET_CHANNEL shift(c3) NN_PUT_SET(h, 4) NN_PUT_SCALE(c1) NN_PUT_COMPARE shift(c0)     \
    NN_PUT_SCALE(c3) NN_PUT_GET_ONE(h, 3) NN_PUT_GET(f, 20) NN_PUT_SCALE(c2) NN_PUT_SCALE(c0)   \
    NN_PUT_GET_ONE(b, 2) NN_PUT_GET_ONE(m, 1) NN_PUT_WEIGH(h) NN_PUT_GET_LAST(t)                \
    NN_PUT_SAVE(q, residual) NN_PUT_WEIGH(b) NN_PUT_ADD(c3, h) NN_PUT_GET(o, 0) NN_PUT_WEIGH(m) \
    NN_PUT_ADD(c2, b) NN_PUT_WEIGH(t) NN_PUT_CLAMP(c3) NN_PUT_ADD(c1, m) NN_PUT_CLAMP(c2)       \
    NN_PUT_ONE(c2, 2) NN_PUT_ADD(c0, t) NN_PUT_ONE(c3, 3) NN_PUT_CLAMP(c1) NN_PUT_ONE(c1, 1)    \
    NN_PUT_CLAMP(c0) NN_PUT_LAST(c0) NN_PUT_SAVE(o, out)

#define NN_PUT_5_RESIDUAL(shift)                                                                     \
    shift(c1) shift(c2) shift(c0) NN_PUT_GET(h, 4) NN_PUT_GET(k, 16) shift(c3) NN_PUT_GET_CHANNEL    \
    NN_PUT_GET(f, 20) shift(c4) NN_PUT_SCALE(c3) NN_PUT_GET(t, 8) NN_PUT_GET(q, 12) NN_PUT_SET(h, 4) \
    NN_PUT_SCALE(c4) NN_PUT_COMPARE NN_PUT_SCALE(c0) NN_PUT_GET_ONE(h, 3) NN_PUT_GET_ONE(t, 4)       \
    NN_PUT_SCALE(c2) NN_PUT_SCALE(c1) NN_PUT_GET_ONE(m, 1) NN_PUT_GET_ONE(b, 2) NN_PUT_WEIGH(t)      \
    NN_PUT_GET(o, 0) NN_PUT_WEIGH(m) NN_PUT_WEIGH(h) NN_PUT_ADD(c4, t) NN_PUT_WEIGH(b)               \
    NN_PUT_ADD(c1, m) NN_PUT_CLAMP(c4) NN_PUT_GET_LAST(m) NN_PUT_ONE(c4, 4) NN_PUT_ADD(c3, h)        \
    NN_PUT_SAVE(q, residual) NN_PUT_ADD(c2, b) NN_PUT_CLAMP(c1) NN_PUT_WEIGH(m) NN_PUT_CLAMP(c2)     \
    NN_PUT_ONE(c2, 2) NN_PUT_CLAMP(c3) NN_PUT_ONE(c1, 1) NN_PUT_ADD(c0, m) NN_PUT_ONE(c3, 3)         \
    NN_PUT_CLAMP(c0) NN_PUT_LAST(c0) NN_PUT_SAVE(o, out)

#define NN_PUT_6_RESIDUAL(shift)                                                                    \
    shift(c1) shift(c2) shift(c3) NN_PUT_GET(h, 4) NN_PUT_GET(t, 8) NN_PUT_GET(q, 12)               \
    NN_PUT_GET_CHANNEL shift(c4) NN_PUT_SET(h, 4) NN_PUT_COMPARE NN_PUT_SCALE(c2) NN_PUT_SCALE(c1)  \
    shift(c0) shift(c5) NN_PUT_SCALE(c3) NN_PUT_SCALE(c0) NN_PUT_GET_ONE(h, 3) NN_PUT_SCALE(c4)     \
    NN_PUT_GET_ONE(t, 4) NN_PUT_GET(f, 20) NN_PUT_GET(k, 16) NN_PUT_SCALE(c5) NN_PUT_GET_ONE(m, 1)  \
    NN_PUT_WEIGH(h) NN_PUT_GET_ONE(b, 2) NN_PUT_WEIGH(t) NN_PUT_WEIGH(m) NN_PUT_ADD(c3, h)          \
    NN_PUT_ADD(c4, t) NN_PUT_GET(o, 0) NN_PUT_ADD(c1, m) NN_PUT_GET_ONE(m, 5) NN_PUT_CLAMP(c4)      \
    NN_PUT_WEIGH(b) NN_PUT_CLAMP(c1) NN_PUT_ONE(c4, 4) NN_PUT_WEIGH(m) NN_PUT_ADD(c2, b)            \
    NN_PUT_GET_LAST(b) NN_PUT_ONE(c1, 1) NN_PUT_CLAMP(c3) NN_PUT_ONE(c3, 3) NN_PUT_CLAMP(c2)        \
    NN_PUT_ONE(c2, 2) NN_PUT_WEIGH(b) NN_PUT_ADD(c5, m) NN_PUT_CLAMP(c5) NN_PUT_ONE(c5, 5)          \
    NN_PUT_ADD(c0, b) NN_PUT_SAVE(q, residual) NN_PUT_CLAMP(c0) NN_PUT_LAST(c0) NN_PUT_SAVE(o, out)
/* clang-format on */

#define NN_PUT_ACC4 [c0] "+r"(c0), [c1] "+r"(c1), [c2] "+r"(c2), [c3] "+r"(c3)
#define NN_PUT_ACC5 NN_PUT_ACC4, [c4] "+r"(c4)
#define NN_PUT_ACC6 NN_PUT_ACC5, [c5] "+r"(c5)

#define NN_PUT_SUM [residual] "=m"(target->residual), [q] "=&r"(q), [k] "=&r"(k), [f] "=&r"(f)

NN_STATIC_ASSERT(sizeof(void *) != 4 || offsetof(nn_target, residual_offset) == 20, "offsets in the code");

#define NN_PUT_ASM(text, ...)                                                                            \
    __asm__ volatile(                                                                                    \
        ".balign 4\n\t" text                                                                             \
        : [o] "+&r"(o), [out] "=m"(target->out), [h] "=&r"(h), [m] "=&r"(m), [b] "=&r"(b), [t] "=&r"(t), \
          "=@ccne"(more), __VA_ARGS__                                                                    \
        : [pre_shift] "i"(r->pre_shift), [fraction] "i"(r->fraction_bits), [out_c] "i"(out_c)            \
        : "memory")

/* With or without a residual and a shift. */
#define NN_PUT_CASE(columns)                                                                           \
    case columns:                                                                                      \
        if (has_residual && r->pre_shift != 0) {                                                       \
            NN_PUT_ASM(NN_PUT_##columns##_RESIDUAL(NN_PUT_SHIFT), NN_PUT_ACC##columns, NN_PUT_SUM);    \
        } else if (has_residual) {                                                                     \
            NN_PUT_ASM(NN_PUT_##columns##_RESIDUAL(NN_PUT_NO_SHIFT), NN_PUT_ACC##columns, NN_PUT_SUM); \
        } else if (r->pre_shift != 0) {                                                                \
            NN_PUT_ASM(NN_PUT_##columns(NN_PUT_SHIFT), NN_PUT_ACC##columns);                           \
        } else {                                                                                       \
            NN_PUT_ASM(NN_PUT_##columns(NN_PUT_NO_SHIFT), NN_PUT_ACC##columns);                        \
        }                                                                                              \
        break;

NN_INLINE int nn_put_asm(const nn_requant *r, int32_t tile, int32_t out_c, int has_residual,
                         const int32_t acc[NN_TILE_MAX], nn_target *target, int *another)
{
    void *o = target;
    const nn_channel *h;
    const int8_t *q;
    uint32_t m, b, t, k, f;
    int more = 0;
    int32_t c0 = acc[0], c1 = acc[1], c2 = acc[2], c3 = acc[3], c4 = acc[4], c5 = acc[5];
    if (!__builtin_constant_p(out_c) || (tile - 1) * out_c > 4095 || r->act_min != -128 ||
        r->act_max != 127 || r->fraction_bits == 0) {
        return 0; /* without optimization, or out of reach, or with more to clamp */
    }
    switch (tile) {
        NN_PUT_CASE(4)
        NN_PUT_CASE(5)
        NN_PUT_CASE(6)
    default:
        return 0;
    }
    *another = more;
    return 1;
}

#endif
