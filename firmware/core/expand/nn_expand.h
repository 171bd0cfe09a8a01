/* nn_expand.h - widen int8 activations to int16 and subtract their zero point.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_EXPAND_H
#define NN_EXPAND_H

#include "../nn_arith.h"

/* out[i] = in[i] - zero_point for i in 0 .. count - 1.
 * in: count int8, any alignment. out: count int16. They must not overlap. count >= 0. */
NN_INLINE void nn_expand(const int8_t *in, int32_t count, int32_t zero_point, int16_t *out);

/* The same as nn_dot reads columns where rows lie as they are: of each four elements 0, 2, 1, 3; zeros up to
 * the next four. */
NN_INLINE void nn_expand_quads(const int8_t *in, int32_t count, int32_t zero_point, int16_t *out);

/* The same of a column: elements step apart. */
NN_INLINE void nn_expand_column(const int8_t *in, int32_t step, int32_t count, int32_t zero_point,
                                int16_t *out);

/* The sum of in[0 .. count - 1]; count a multiple of 4. */
NN_INLINE int32_t nn_sum(const int16_t *in, int32_t count);

/* out[i] = 0 for i in 0 .. count - 1. count >= 0. */
NN_INLINE void nn_fill_zero(int16_t *out, int32_t count);

NN_INLINE void nn_expand_column(const int8_t *in, int32_t step, int32_t count, int32_t zero_point,
                                int16_t *out)
{
    const int32_t by_4 = count & ~3;
    for (int32_t i = 0; i < by_4; i += 4) {
        const int16_t first = (int16_t)(in[i * step] - zero_point);
        const int16_t second = (int16_t)(in[(i + 1) * step] - zero_point);
        const int16_t third = (int16_t)(in[(i + 2) * step] - zero_point);
        const int16_t fourth = (int16_t)(in[(i + 3) * step] - zero_point);
        out[i] = first;
        out[i + 1] = third;
        out[i + 2] = second;
        out[i + 3] = fourth;
    }
    if (by_4 < count) {
        out[by_4] = (int16_t)(in[by_4 * step] - zero_point);
        out[by_4 + 1] = by_4 + 2 < count ? (int16_t)(in[(by_4 + 2) * step] - zero_point) : 0;
        out[by_4 + 2] = by_4 + 1 < count ? (int16_t)(in[(by_4 + 1) * step] - zero_point) : 0;
        out[by_4 + 3] = 0;
    }
}

#if NN_KERNELS_USE_DSP
#include "nn_expand_dsp.h"
#else
#include "nn_expand_portable.h"
#endif

#endif
