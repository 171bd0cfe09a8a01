/* nn_depthwise_conv_portable.h - contract in nn_depthwise_conv.h. One channel at a time is expanded
 * into a plane, zero point subtracted and padding included.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_DEPTHWISE_CONV_PORTABLE_H
#define NN_DEPTHWISE_CONV_PORTABLE_H

#include "nn_depthwise_conv.h"

/* Elements of the plane's row. */
NN_INLINE int32_t nn_depthwise_columns(const nn_window_shape *s)
{
    return (s->out_w - 1) * s->stride_w + s->kernel_w;
}

/* Expand the input of count output rows from oy on. in: the channel's element of pixel 0. */
NN_INLINE void nn_depthwise_expand(const nn_window_shape *s, int32_t zero_point, int32_t oy, int32_t count,
                                   const int8_t *in, int16_t *plane)
{
    const int32_t columns = nn_depthwise_columns(s);
    const int32_t top = oy * s->stride_h - s->pad_top;
    for (int32_t y = top; y < top + (count - 1) * s->stride_h + s->kernel_h; y++) {
        for (int32_t x = -s->pad_left; x < columns - s->pad_left; x++) {
            const int inside = y >= 0 && y < s->in_h && x >= 0 && x < s->in_w;
            *plane++ = inside ? (int16_t)(in[(y * s->in_w + x) * s->in_c] - zero_point) : 0;
        }
    }
}

/* Accumulator of one output. x: its window in the plane; weights: the channel's. */
NN_INLINE int32_t nn_depthwise_dot(const nn_window_shape *s, const int8_t *weights, const int16_t *x)
{
    int32_t acc = 0;
    for (int32_t ky = 0; ky < s->kernel_h; ky++) {
        for (int32_t kx = 0; kx < s->kernel_w; kx++) {
            acc += *weights++ * x[ky * nn_depthwise_columns(s) + kx];
        }
    }
    return acc;
}

/* count rows of outputs of one channel. out: its element of the first one's pixel 0. */
NN_INLINE void nn_depthwise_plane(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                  int32_t count, nn_channel channel, const int8_t *weights,
                                  const int16_t *plane, int8_t *out)
{
    for (int32_t oy = 0; oy < count; oy++) {
        const int16_t *row = plane + oy * s->stride_h * nn_depthwise_columns(s);
        for (int32_t ox = 0; ox < s->out_w; ox++) {
            const int32_t acc = nn_depthwise_dot(s, weights, row + ox * s->stride_w);
            *out = nn_requantize(r, l, channel, acc, NULL);
            out += s->out_c;
        }
    }
}

/* count outputs of one channel without a filter. out: its element of the first one's pixel. */
NN_INLINE void nn_depthwise_fill(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                 int32_t count, nn_channel channel, int8_t *out)
{
    const int8_t value = nn_requantize(r, l, channel, 0, NULL);
    for (int32_t i = 0; i < count; i++) {
        out[i * s->out_c] = value;
    }
}

NN_INLINE void nn_depthwise_conv(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                 int32_t band, const int8_t *weights, const uint8_t *channel_level,
                                 uint32_t level, const int8_t *in, int8_t *out, int16_t *scratch)
{
    const int32_t taps = s->kernel_h * s->kernel_w;
    for (int32_t oy = 0; oy < s->out_h; oy += band) {
        const int32_t count = nn_min(band, s->out_h - oy);
        for (int32_t ch = 0; ch < s->out_c; ch++) {
            if (!nn_depthwise_has(channel_level, level, ch)) {
                nn_depthwise_fill(s, r, l, count * s->out_w, nn_channel_at(r, l, ch),
                                  out + oy * s->out_w * s->out_c + ch);
                continue;
            }
            nn_depthwise_expand(s, r->in_zero_point, oy, count, in + ch, scratch);
            nn_depthwise_plane(s, r, l, count, nn_channel_at(r, l, ch), weights + ch * taps, scratch,
                               out + oy * s->out_w * s->out_c + ch);
        }
    }
}

#endif
