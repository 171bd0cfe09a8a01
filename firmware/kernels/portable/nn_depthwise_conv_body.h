/* nn_depthwise_conv_body.h (portable) - contract in nn_depthwise_conv.h. Reads the input where it is.
 *
 * SPDX-License-Identifier: Apache-2.0
 */

/* Accumulator of channel ch for the window whose corner lies at row top, column left of the input; weights:
 * the channel's. */
NN_INLINE int32_t nn_depthwise_dot(const nn_window_shape *s, int32_t zero_point, int32_t top, int32_t left,
                                   int32_t ch, const int8_t *weights, const int8_t *in)
{
    const int32_t ky_end = nn_min(s->kernel_h, s->in_h - top);
    const int32_t kx_end = nn_min(s->kernel_w, s->in_w - left);
    int32_t acc = 0;
    for (int32_t ky = nn_max(0, -top); ky < ky_end; ky++) {
        for (int32_t kx = nn_max(0, -left); kx < kx_end; kx++) {
            const int32_t x = in[((top + ky) * s->in_w + left + kx) * s->in_c + ch] - zero_point;
            acc += weights[ky * s->kernel_w + kx] * x;
        }
    }
    return acc;
}

NN_INLINE void nn_depthwise_conv(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                 int32_t band, const int8_t *weights, const int8_t *in, int8_t *out,
                                 int16_t *scratch)
{
    const int32_t taps = s->kernel_h * s->kernel_w;
    (void)band;
    (void)scratch;
    for (int32_t oy = 0; oy < s->out_h; oy++) {
        for (int32_t ox = 0; ox < s->out_w; ox++) {
            const int32_t top = oy * s->stride_h - s->pad_top;
            const int32_t left = ox * s->stride_w - s->pad_left;
            for (int32_t ch = 0; ch < s->out_c; ch++) {
                const int32_t acc =
                    nn_depthwise_dot(s, r->in_zero_point, top, left, ch, weights + ch * taps, in);
                *out++ = nn_requantize(r, l, nn_channel_at(r, l, ch), acc, NULL);
            }
        }
    }
}
