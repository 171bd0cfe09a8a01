/* nn_avg_pool.h - mean over a window.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[y][x][ch] = clamp(zp + ((sum(x - zp) * round(2^22 / n) + 2^21) >> 22)); elements outside the image
 * count as zp, and n is the number of the window's elements in the image and up to counted rows and columns
 * around it. A stride of 0 stands for adaptive windows (nn_span.h), kernel_h and kernel_w for the largest.
 *
 * s:          nn_window_shape; literal; out_c = in_c, any stride and padding, kernel_h * kernel_w <= 4096
 * counted:    nn_sides; literal; or a literal NULL; no more than the padding; NULL: n = kernel_h * kernel_w
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

#include "../../core/nn_span.h"

NN_INLINE void nn_avg_pool(const nn_window_shape *s, const nn_sides *counted, int32_t zero_point,
                           const int8_t *in, int8_t *out);

/* round(2^22 / n) of the window at output row oy, column ox. */
NN_INLINE int32_t nn_avg_reciprocal(const nn_window_shape *s, const nn_sides *counted, int32_t oy, int32_t ox)
{
    int32_t n = s->kernel_h * s->kernel_w;
    if (counted != NULL) {
        const nn_span rows = nn_span_within(nn_span_rows(s, oy), -counted->top, s->in_h + counted->bottom);
        const nn_span columns =
            nn_span_within(nn_span_columns(s, ox), -counted->left, s->in_w + counted->right);
        n = nn_max(1, (rows.end - rows.first) * (columns.end - columns.first));
    }
    return ((1 << 22) + n / 2) / n;
}

/* The mean of a window's sum(x - zp). */
NN_INLINE int8_t nn_avg_of_sum(int32_t reciprocal, int32_t zero_point, int32_t sum)
{
    return (int8_t)nn_ssat8_asr(zero_point + ((sum * reciprocal + (1 << 21)) >> 22), 0);
}

/* The sum(x - zp) of channel ch in a window inside the image. */
NN_INLINE int32_t nn_avg_sum(const nn_window_shape *s, int32_t zero_point, nn_span rows, nn_span columns,
                             int32_t ch, const int8_t *in)
{
    int32_t sum = 0;
    for (int32_t iy = rows.first; iy < rows.end; iy++) {
        for (int32_t ix = columns.first; ix < columns.end; ix++) {
            sum += in[(iy * s->in_w + ix) * s->in_c + ch] - zero_point;
        }
    }
    return sum;
}

#if NN_KERNELS_USE_DSP
#include "nn_avg_pool_dsp.h"
#else
#include "nn_avg_pool_portable.h"
#endif

#endif
