/* nn_expand_portable.h - contract in nn_expand.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_EXPAND_PORTABLE_H
#define NN_EXPAND_PORTABLE_H

#include "nn_expand.h"

NN_INLINE void nn_expand(const int8_t *in, int32_t count, int32_t zero_point, int16_t *out)
{
    for (int32_t i = 0; i < count; i++) {
        out[i] = (int16_t)(in[i] - zero_point);
    }
}

NN_INLINE void nn_expand_quads(const int8_t *in, int32_t count, int32_t zero_point, int16_t *out)
{
    nn_expand_column(in, 1, count, zero_point, out);
}

NN_INLINE int32_t nn_sum(const int16_t *in, int32_t count)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < count; i++) {
        sum += in[i];
    }
    return sum;
}

NN_INLINE void nn_fill_zero(int16_t *out, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        out[i] = 0;
    }
}

#endif
