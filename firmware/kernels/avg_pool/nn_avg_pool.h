/* nn_avg_pool.h - mean over a window.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[y][x][ch] = clamp(zp + ((sum(x - zp) * round(2^22 / n) + 2^21) >> 22)), n = kernel_h * kernel_w;
 * elements outside the image count as zp.
 *
 * s:          nn_window_shape; literal; out_c = in_c, any stride and padding, n <= 4096
 * zero_point: int32; literal; -128 .. 127
 * in:         int8[in_h * in_w * in_c]; read
 * out:        int8[out_h * out_w * out_c]; written
 * aliasing:   in is read before each out_c of out, from (max(0, y / out_w * stride_h - pad_top) * in_w +
 *             max(0, y % out_w * stride_w - pad_left)) * in_c, apart in_c
 * fails:      never
 * check:      4096 * 255 < 2^31 / 2^11
 */
#ifndef NN_AVG_POOL_H
#define NN_AVG_POOL_H

#include "../../core/nn_arith.h"

NN_INLINE void nn_avg_pool(const nn_window_shape *s, int32_t zero_point, const int8_t *in, int8_t *out);

/* The mean of a window's sum(x - zp). */
NN_INLINE int8_t nn_avg_of_sum(const nn_window_shape *s, int32_t zero_point, int32_t sum)
{
    const int32_t n = s->kernel_h * s->kernel_w;
    const int32_t reciprocal = ((1 << 22) + n / 2) / n;
    return (int8_t)nn_ssat8_asr(zero_point + ((sum * reciprocal + (1 << 21)) >> 22), 0);
}

/* The mean of channel ch in the window whose corner lies at row top, column left. */
NN_INLINE int8_t nn_avg_of_window(const nn_window_shape *s, int32_t zero_point, int32_t top, int32_t left,
                                  int32_t ch, const int8_t *in)
{
    const int32_t iy_end = nn_min(s->in_h, top + s->kernel_h);
    const int32_t ix_end = nn_min(s->in_w, left + s->kernel_w);
    int32_t sum = 0;
    for (int32_t iy = nn_max(0, top); iy < iy_end; iy++) {
        for (int32_t ix = nn_max(0, left); ix < ix_end; ix++) {
            sum += in[(iy * s->in_w + ix) * s->in_c + ch] - zero_point;
        }
    }
    return nn_avg_of_sum(s, zero_point, sum);
}

#if NN_KERNELS_USE_DSP
#include "nn_avg_pool_dsp.h"
#else
#include "nn_avg_pool_portable.h"
#endif

#endif
