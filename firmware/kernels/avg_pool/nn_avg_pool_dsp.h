/* nn_avg_pool_dsp.h - contract in nn_avg_pool.h. Four channels at a time, summed in 16-bit halves: up to 255
 * elements fit.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * check: 255 * 128 < 2^15
 */
#ifndef NN_AVG_POOL_DSP_H
#define NN_AVG_POOL_DSP_H

#include "nn_avg_pool.h"

NN_INLINE void nn_avg_pool(const nn_window_shape *s, const nn_sides *counted, int32_t zero_point,
                           const int8_t *in, int8_t *out)
{
    const int32_t by_4 = s->kernel_h * s->kernel_w <= 255 ? s->out_c & ~3 : 0;
    for (int32_t oy = 0; oy < s->out_h; oy++) {
        for (int32_t ox = 0; ox < s->out_w; ox++) {
            const nn_span rows = nn_span_within(nn_span_rows(s, oy), 0, s->in_h);
            const nn_span columns = nn_span_within(nn_span_columns(s, ox), 0, s->in_w);
            const int32_t zero = (rows.end - rows.first) * (columns.end - columns.first) * zero_point;
            const int32_t reciprocal = nn_avg_reciprocal(s, counted, oy, ox);
            for (int32_t ch = 0; ch < by_4; ch += 4) {
                uint32_t even = 0; /* sums of channels ch and ch + 2 */
                uint32_t odd = 0;  /* sums of channels ch + 1 and ch + 3 */
                for (int32_t iy = rows.first; iy < rows.end; iy++) {
                    for (int32_t ix = columns.first; ix < columns.end; ix++) {
                        const uint32_t quad = nn_load_quad(in + (iy * s->in_w + ix) * s->in_c + ch);
                        even = nn_sxtab16(even, quad);
                        odd = nn_sxtab16_ror8(odd, quad);
                    }
                }
                out[ch] = nn_avg_of_sum(reciprocal, zero_point, (int16_t)(uint16_t)even - zero);
                out[ch + 1] = nn_avg_of_sum(reciprocal, zero_point, (int16_t)(uint16_t)odd - zero);
                out[ch + 2] = nn_avg_of_sum(reciprocal, zero_point, ((int32_t)even >> 16) - zero);
                out[ch + 3] = nn_avg_of_sum(reciprocal, zero_point, ((int32_t)odd >> 16) - zero);
            }
            for (int32_t ch = by_4; ch < s->out_c; ch++) {
                const int32_t sum = nn_avg_sum(s, zero_point, rows, columns, ch, in);
                out[ch] = nn_avg_of_sum(reciprocal, zero_point, sum);
            }
            out += s->out_c;
        }
    }
}

#endif
