/* nn_max_pool_portable.h - contract in nn_max_pool.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_MAX_POOL_PORTABLE_H
#define NN_MAX_POOL_PORTABLE_H

#include "nn_max_pool.h"

NN_INLINE void nn_max_pool(const nn_window_shape *s, const int8_t *in, int8_t *out)
{
    for (int32_t oy = 0; oy < s->out_h; oy++) {
        for (int32_t ox = 0; ox < s->out_w; ox++) {
            const nn_span rows = nn_span_within(nn_span_rows(s, oy), 0, s->in_h);
            const nn_span columns = nn_span_within(nn_span_columns(s, ox), 0, s->in_w);
            for (int32_t ch = 0; ch < s->out_c; ch++) {
                *out++ = nn_max_of_window(s, rows, columns, ch, in);
            }
        }
    }
}

#endif
