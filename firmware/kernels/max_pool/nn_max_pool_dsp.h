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
            const int32_t top = oy * s->stride_h - s->pad_top;
            const int32_t left = ox * s->stride_w - s->pad_left;
            const int32_t iy_end = nn_min(s->in_h, top + s->kernel_h);
            const int32_t ix_end = nn_min(s->in_w, left + s->kernel_w);
            for (int32_t ch = 0; ch < by_4; ch += 4) {
                uint32_t largest = 0x80808080u;
                for (int32_t iy = nn_max(0, top); iy < iy_end; iy++) {
                    for (int32_t ix = nn_max(0, left); ix < ix_end; ix++) {
                        largest = nn_max_quad(largest, nn_load_quad(in + (iy * s->in_w + ix) * s->in_c + ch));
                    }
                }
                nn_store_quad(out + ch, largest);
            }
            for (int32_t ch = by_4; ch < s->out_c; ch++) {
                out[ch] = nn_max_of_window(s, top, left, ch, in);
            }
            out += s->out_c;
        }
    }
}

#endif
