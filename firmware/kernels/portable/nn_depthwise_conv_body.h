/* nn_depthwise_conv_body.h (portable) - contract in nn_depthwise_conv.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */

NN_INLINE void nn_depthwise_conv(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                 const int8_t *weights, const int8_t *in, int8_t *out)
{
    for (int32_t oy = 0; oy < s->out_h; oy++) {
        for (int32_t ox = 0; ox < s->out_w; ox++) {
            const int32_t top = oy * s->stride_h - s->pad_top;
            const int32_t left = ox * s->stride_w - s->pad_left;
            for (int32_t ch = 0; ch < s->out_c; ch++) {
                const int32_t acc = nn_depthwise_dot(s, r->in_zero_point, top, left, ch, weights, in);
                *out++ = nn_requantize(r, l, nn_channel_at(r, l, ch), acc, NULL);
            }
        }
    }
}
