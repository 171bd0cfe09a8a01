/* nn_max_pool_dsp.h - contract in nn_max_pool.h. Four channels at a time: SSUB8 and SEL.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_MAX_POOL_DSP_H
#define NN_MAX_POOL_DSP_H

#include "nn_max_pool.h"

NN_INLINE void nn_max_pool(const nn_window_shape *s, const int8_t *in, int8_t *out)
{
    const int32_t by_4 = s->out_c & ~3;
    for (int32_t oy = 0; oy < s->out_h; oy++) {
        for (int32_t ox = 0; ox < s->out_w; ox++) {
            const nn_span rows = nn_span_within(nn_span_rows(s, oy), 0, s->in_h);
            const nn_span columns = nn_span_within(nn_span_columns(s, ox), 0, s->in_w);
            for (int32_t ch = 0; ch < by_4; ch += 4) {
                uint32_t largest = 0x80808080u;
                for (int32_t iy = rows.first; iy < rows.end; iy++) {
                    for (int32_t ix = columns.first; ix < columns.end; ix++) {
                        largest = nn_max_quad(largest, nn_load_quad(in + (iy * s->in_w + ix) * s->in_c + ch));
                    }
                }
                nn_store_quad(out + ch, largest);
            }
            for (int32_t ch = by_4; ch < s->out_c; ch++) {
                out[ch] = nn_max_of_window(s, rows, columns, ch, in);
            }
            out += s->out_c;
        }
    }
}

#endif
