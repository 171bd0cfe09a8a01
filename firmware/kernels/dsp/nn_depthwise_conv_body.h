/* nn_depthwise_conv_body.h (DSP) - contract in nn_depthwise_conv.h. Four channels at a time; two columns at a
 * time where both windows lie inside the image's width, so that they share the weights: 17 instructions per
 * tap for 8 multiply-accumulates.
 *
 * SPDX-License-Identifier: Apache-2.0
 */

/* The part of a window that lies inside the image. */
typedef struct {
    int32_t top, left;
    int32_t ky, ky_end, kx, kx_end;
} nn_clipped_window;

/* Four weights or activations as two pairs: channels 0 and 2, channels 1 and 3. */
typedef struct {
    uint32_t even, odd;
} nn_four;

NN_INLINE nn_four nn_four_activations(uint32_t offset, const int8_t *in)
{
    const uint32_t quad = nn_load_quad(in);
    const nn_four four = {nn_sxtab16(offset, quad), nn_sxtab16_ror8(offset, quad)};
    return four;
}

NN_INLINE nn_four nn_four_weights(const int8_t *weights)
{
    const uint32_t quad = nn_load_quad(weights);
    const nn_four four = {nn_sxtb16(quad), nn_sxtb16_ror8(quad)};
    return four;
}

NN_INLINE void nn_four_macs(nn_four x, nn_four w, int32_t *acc)
{
    acc[0] = nn_smlabb(x.even, w.even, acc[0]);
    acc[1] = nn_smlabb(x.odd, w.odd, acc[1]);
    acc[2] = nn_smlatt(x.even, w.even, acc[2]);
    acc[3] = nn_smlatt(x.odd, w.odd, acc[3]);
}

/* Channels ch .. ch + 3 of columns (literal 1 or 2) adjacent outputs; out: the first column's pixel. */
NN_INLINE void nn_depthwise_four(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                 int32_t columns, nn_clipped_window window, int32_t ch, const int8_t *weights,
                                 const int8_t *in, int8_t *out)
{
    const uint32_t low = (uint32_t)-r->in_zero_point & 0xFFFFu;
    const uint32_t offset = low | (low << 16);
    int32_t acc[8] = {0};
    NN_KEEP_LOOP
    for (int32_t ky = window.ky; ky < window.ky_end; ky++) {
        const int8_t *x = in + ((window.top + ky) * s->in_w + window.left + window.kx) * s->in_c + ch;
        const int8_t *w = weights + (ky * s->kernel_w + window.kx) * s->out_c + ch;
        for (int32_t kx = window.kx; kx < window.kx_end; kx++) {
            const nn_four taps = nn_four_weights(w);
            nn_four_macs(nn_four_activations(offset, x), taps, acc);
            if (columns == 2) {
                nn_four_macs(nn_four_activations(offset, x + s->stride_w * s->in_c), taps, acc + 4);
            }
            x += s->in_c;
            w += s->out_c;
        }
    }
    for (int32_t i = 0; i < 4; i++) {
        const nn_channel channel = nn_channel_at(r, l, ch + i);
        out[ch + i] = nn_requantize(r, l, channel, acc[i], NULL);
        if (columns == 2) {
            out[s->out_c + ch + i] = nn_requantize(r, l, channel, acc[4 + i], NULL);
        }
    }
}

/* All channels of columns (literal 1 or 2) adjacent outputs. */
NN_INLINE void nn_depthwise_pixels(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                   int32_t columns, nn_clipped_window window, const int8_t *weights,
                                   const int8_t *in, int8_t *out)
{
    const int32_t by_4 = s->out_c & ~3;
    for (int32_t ch = 0; ch < by_4; ch += 4) {
        nn_depthwise_four(s, r, l, columns, window, ch, weights, in, out);
    }
    for (int32_t p = 0; p < columns; p++) {
        const int32_t left = window.left + p * s->stride_w;
        for (int32_t ch = by_4; ch < s->out_c; ch++) {
            const int32_t acc = nn_depthwise_dot(s, r->in_zero_point, window.top, left, ch, weights, in);
            out[p * s->out_c + ch] = nn_requantize(r, l, nn_channel_at(r, l, ch), acc, NULL);
        }
    }
}

NN_INLINE void nn_depthwise_conv(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                 const int8_t *weights, const int8_t *in, int8_t *out)
{
    const nn_requant_level tables = *l; /* a copy that stores to out cannot alias */
    for (int32_t oy = 0; oy < s->out_h; oy++) {
        nn_clipped_window window;
        window.top = oy * s->stride_h - s->pad_top;
        window.ky = nn_max(0, -window.top);
        window.ky_end = nn_min(s->kernel_h, s->in_h - window.top);
        for (int32_t ox = 0; ox < s->out_w;) {
            window.left = ox * s->stride_w - s->pad_left;
            if (ox + 1 < s->out_w && window.left >= 0 && window.left + s->stride_w + s->kernel_w <= s->in_w) {
                window.kx = 0;
                window.kx_end = s->kernel_w;
                nn_depthwise_pixels(s, r, &tables, 2, window, weights, in, out);
                out += 2 * s->out_c;
                ox += 2;
            } else {
                window.kx = nn_max(0, -window.left);
                window.kx_end = nn_min(s->kernel_w, s->in_w - window.left);
                nn_depthwise_pixels(s, r, &tables, 1, window, weights, in, out);
                out += s->out_c;
                ox += 1;
            }
        }
    }
}
