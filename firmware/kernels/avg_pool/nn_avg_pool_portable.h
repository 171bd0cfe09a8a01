/* nn_avg_pool_portable.h - contract in nn_avg_pool.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_AVG_POOL_PORTABLE_H
#define NN_AVG_POOL_PORTABLE_H

#include "nn_avg_pool.h"

NN_INLINE void nn_avg_pool(const nn_window_shape *s, int32_t zero_point, const int8_t *in, int8_t *out)
{
    for (int32_t oy = 0; oy < s->out_h; oy++) {
        for (int32_t ox = 0; ox < s->out_w; ox++) {
            const int32_t top = oy * s->stride_h - s->pad_top;
            const int32_t left = ox * s->stride_w - s->pad_left;
            for (int32_t ch = 0; ch < s->out_c; ch++) {
                *out++ = nn_avg_of_window(s, zero_point, top, left, ch, in);
            }
        }
    }
}

#endif
