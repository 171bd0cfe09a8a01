/* nn_rearrange_portable.h - contract in nn_rearrange.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A loop that reads the same again (a stride of 0) copies what its first round wrote.
 */
#ifndef NN_REARRANGE_PORTABLE_H
#define NN_REARRANGE_PORTABLE_H

#include "nn_rearrange.h"

/* One run; returns the end of what is written, as do the loops around it. */
NN_INLINE int8_t *nn_rearrange_run(const nn_loops *l, int32_t align, const int8_t *in, int8_t *out)
{
    if (l->s5 == 1) {
        nn_copy(align, l->n5, in, out);
    } else {
        const int32_t by_4 = l->n5 & ~3;
        for (int32_t i = 0; i < by_4; i += 4) {
            out[i] = in[0];
            out[i + 1] = in[l->s5];
            out[i + 2] = in[2 * l->s5];
            out[i + 3] = in[3 * l->s5];
            in += 4 * l->s5;
        }
        for (int32_t i = by_4; i < l->n5; i++) {
            out[i] = *in;
            in += l->s5;
        }
    }
    return out + l->n5;
}

/* The loop of n rounds, s bytes apart, around inner, which writes size bytes. */
#define NN_REARRANGE_LOOP(name, n, s, inner, size)                                          \
    NN_INLINE int8_t *name(const nn_loops *l, int32_t align, const int8_t *in, int8_t *out) \
    {                                                                                       \
        if ((s) == 0 && (n) > 1) {                                                          \
            int8_t *end = inner(l, align, in, out);                                         \
            for (int32_t i = 1; i < (n); i++) {                                             \
                nn_copy(align, size, out, end);                                             \
                end += (size);                                                              \
            }                                                                               \
            return end;                                                                     \
        }                                                                                   \
        for (int32_t i = 0; i < (n); i++) {                                                 \
            out = inner(l, align, in, out);                                                 \
            in += (s);                                                                      \
        }                                                                                   \
        return out;                                                                         \
    }

NN_REARRANGE_LOOP(nn_rearrange_4, l->n4, l->s4, nn_rearrange_run, l->n5)

/* A pass of the innermost loop is a few instructions beside those of the loop; gcc unrolls shorter ones. */
NN_INLINE int8_t *nn_rearrange_runs(const nn_loops *l, int32_t align, const int8_t *in, int8_t *out)
{
    if (l->n4 <= 16 || l->n5 > 16 || l->s4 == 0) {
        return nn_rearrange_4(l, align, in, out);
    }
    _Pragma("GCC unroll 4") for (int32_t i = 0; i < l->n4; i++)
    {
        out = nn_rearrange_run(l, align, in, out);
        in += l->s4;
    }
    return out;
}

NN_REARRANGE_LOOP(nn_rearrange_3, l->n3, l->s3, nn_rearrange_runs, l->n4 * l->n5)
NN_REARRANGE_LOOP(nn_rearrange_2, l->n2, l->s2, nn_rearrange_3, l->n3 * l->n4 * l->n5)
NN_REARRANGE_LOOP(nn_rearrange_1, l->n1, l->s1, nn_rearrange_2, l->n2 * l->n3 * l->n4 * l->n5)
NN_REARRANGE_LOOP(nn_rearrange_0, l->n0, l->s0, nn_rearrange_1, l->n1 * l->n2 * l->n3 * l->n4 * l->n5)
#undef NN_REARRANGE_LOOP

NN_INLINE void nn_rearrange(const nn_loops *loops, int32_t count, int32_t offset, int32_t align,
                            const int8_t *in, int8_t *out)
{
    (void)count;
    (void)nn_rearrange_0(loops, align, in + offset, out);
}

#endif
