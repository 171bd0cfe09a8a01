/* nn_avg_pool_portable.h - contract in nn_avg_pool.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_AVG_POOL_PORTABLE_H
#define NN_AVG_POOL_PORTABLE_H

#include "nn_avg_pool.h"

NN_INLINE void nn_avg_pool(const nn_window_shape *s, const nn_sides *counted, int32_t zero_point,
                           const int8_t *in, int8_t *out)
{
    for (int32_t oy = 0; oy < s->out_h; oy++) {
        for (int32_t ox = 0; ox < s->out_w; ox++) {
            const nn_span rows = nn_span_within(nn_span_rows(s, oy), 0, s->in_h);
            const nn_span columns = nn_span_within(nn_span_columns(s, ox), 0, s->in_w);
            const int32_t reciprocal = nn_avg_reciprocal(s, counted, oy, ox);
            for (int32_t ch = 0; ch < s->out_c; ch++) {
                const int32_t sum = nn_avg_sum(s, zero_point, rows, columns, ch, in);
                *out++ = nn_avg_of_sum(reciprocal, zero_point, sum);
            }
        }
    }
}

#endif
