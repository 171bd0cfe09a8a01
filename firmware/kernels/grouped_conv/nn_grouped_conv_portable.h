/* nn_grouped_conv_portable.h - contract in nn_grouped_conv.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_GROUPED_CONV_PORTABLE_H
#define NN_GROUPED_CONV_PORTABLE_H

#include "nn_grouped_conv.h"

/* Accumulator of one output. top, left: the window's corner in the input; first_c: the group's first channel;
 * w: the filter, [kernel_h][kernel_w][group_c]. */
NN_INLINE int32_t nn_grouped_dot(const nn_window_shape *s, int32_t zero_point, int32_t group_c, int32_t top,
                                 int32_t left, int32_t first_c, const int8_t *w, const int8_t *in)
{
    int32_t acc = 0;
    for (int32_t ky = nn_max(0, -top); ky < nn_min(s->kernel_h, s->in_h - top); ky++) {
        for (int32_t kx = nn_max(0, -left); kx < nn_min(s->kernel_w, s->in_w - left); kx++) {
            const int8_t *x = in + ((top + ky) * s->in_w + left + kx) * s->in_c + first_c;
            const int8_t *tap = w + (ky * s->kernel_w + kx) * group_c;
            for (int32_t i = 0; i < group_c; i++) {
                acc += tap[i] * (x[i] - zero_point);
            }
        }
    }
    return acc;
}

NN_INLINE void nn_grouped_conv(const nn_window_shape *s, int32_t groups, const nn_requant *r,
                               const nn_requant_level *l, const int8_t *weights, const int8_t *in,
                               const int8_t *residual, int8_t *out)
{
    const int32_t in_group_c = s->in_c / groups;
    const int32_t out_group_c = s->out_c / groups;
    const int32_t filter_bytes = s->kernel_h * s->kernel_w * in_group_c;
    for (int32_t oy = 0; oy < s->out_h; oy++) {
        for (int32_t ox = 0; ox < s->out_w; ox++) {
            for (int32_t oc = 0; oc < s->out_c; oc++) {
                const int32_t at = (oy * s->out_w + ox) * s->out_c + oc;
                const int32_t acc =
                    nn_grouped_dot(s, r->in_zero_point, in_group_c, oy * s->stride_h - s->pad_top,
                                   ox * s->stride_w - s->pad_left, oc / out_group_c * in_group_c,
                                   weights + oc * filter_bytes, in);
                out[at] = nn_requantize(r, l, nn_channel_at(r, l, oc), acc,
                                        residual == NULL ? NULL : &residual[at]);
            }
        }
    }
}

#endif
