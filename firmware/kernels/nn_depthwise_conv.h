/* nn_depthwise_conv.h - depthwise convolution with dense weights, one filter per channel.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_DEPTHWISE_CONV_H
#define NN_DEPTHWISE_CONV_H

#include "../nn_arith.h"

/* out[y][x][ch] = requantize(sum over the window of in[..][..][ch] * weights[ky][kx][ch]).
 * s: in in_h x in_w x in_c, out out_h x out_w x out_c, axes h, w, c; out_c = in_c; any kernel, stride,
 * padding. weights: [kernel_h][kernel_w][out_c], any alignment, 4-byte aligned is fastest. in and out must
 * not overlap. No scratch memory. Cannot fail. */
NN_INLINE void nn_depthwise_conv(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                 const int8_t *weights, const int8_t *in, int8_t *out);

/* Accumulator of channel ch for the window whose corner lies at row top, column left of the input. */
NN_INLINE int32_t nn_depthwise_dot(const nn_window_shape *s, int32_t zero_point, int32_t top, int32_t left,
                                   int32_t ch, const int8_t *weights, const int8_t *in)
{
    const int32_t ky_end = nn_min(s->kernel_h, s->in_h - top);
    const int32_t kx_end = nn_min(s->kernel_w, s->in_w - left);
    int32_t acc = 0;
    for (int32_t ky = nn_max(0, -top); ky < ky_end; ky++) {
        for (int32_t kx = nn_max(0, -left); kx < kx_end; kx++) {
            const int32_t x = in[((top + ky) * s->in_w + left + kx) * s->in_c + ch] - zero_point;
            acc += weights[(ky * s->kernel_w + kx) * s->out_c + ch] * x;
        }
    }
    return acc;
}

#include "nn_depthwise_conv_body.h"

#endif
