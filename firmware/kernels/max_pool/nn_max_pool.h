/* nn_max_pool.h - maximum over a window.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[y][x][ch] = the largest of the window's elements that lie inside the image, -128 if none does. A stride
 * of 0 stands for adaptive windows (nn_span.h), kernel_h and kernel_w for the largest.
 *
 * s:        nn_window_shape; literal; out_c = in_c, any kernel, stride and padding
 * in:       int8[in_h * in_w * in_c]; read
 * out:      int8[out_h * out_w * out_c]; written
 * aliasing: in is read before each out_c of out, from (max(0, y / out_w * stride_h - pad_top) * in_w +
 *           max(0, y % out_w * stride_w - pad_left)) * in_c, apart in_c
 * fails:    never
 */
#ifndef NN_MAX_POOL_H
#define NN_MAX_POOL_H

#include "../../core/nn_span.h"

NN_INLINE void nn_max_pool(const nn_window_shape *s, const int8_t *in, int8_t *out);

/* The largest element of channel ch in a window inside the image. */
NN_INLINE int8_t nn_max_of_window(const nn_window_shape *s, nn_span rows, nn_span columns, int32_t ch,
                                  const int8_t *in)
{
    int32_t largest = -128;
    for (int32_t iy = rows.first; iy < rows.end; iy++) {
        for (int32_t ix = columns.first; ix < columns.end; ix++) {
            largest = nn_max(largest, in[(iy * s->in_w + ix) * s->in_c + ch]);
        }
    }
    return (int8_t)largest;
}

#if NN_KERNELS_USE_DSP
#include "nn_max_pool_dsp.h"
#else
#include "nn_max_pool_portable.h"
#endif

#endif
