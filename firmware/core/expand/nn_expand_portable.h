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

NN_INLINE void nn_fill_zero(int16_t *out, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        out[i] = 0;
    }
}

#endif
