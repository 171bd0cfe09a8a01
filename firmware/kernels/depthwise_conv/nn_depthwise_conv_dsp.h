/* nn_depthwise_conv_dsp.h - contract in nn_depthwise_conv.h. Four channels at a time are expanded into
 * planes of int16, zero point subtracted and padding included, so that neighbours along a row multiply in
 * pairs. Tiles of 2 rows x 2 columns share loads.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_DEPTHWISE_CONV_DSP_H
#define NN_DEPTHWISE_CONV_DSP_H

#include "nn_depthwise_conv.h"
#if NN_SCHEDULED
#include "nn_depthwise_conv_asm.h"
#endif

#define NN_DEPTHWISE_UNROLL     _Pragma("GCC unroll 8")
#define NN_DEPTHWISE_KERNEL_MAX 5

/* Elements of a plane's row. */
NN_INLINE int32_t nn_depthwise_pitch(const nn_window_shape *s)
{
    return nn_round_up((s->out_w - 1) * s->stride_w + s->kernel_w, 2);
}

/* Rows of a plane for count output rows. */
NN_INLINE int32_t nn_depthwise_rows(const nn_window_shape *s, int32_t count)
{
    return (count - 1) * s->stride_h + s->kernel_h;
}

/* Columns left, left + 1 of four channels, as int8 quads, to column left of the four planes. */
NN_INLINE void nn_depthwise_put(uint32_t offset, uint32_t left, uint32_t right, int32_t plane, int16_t *x)
{
    const uint32_t low = nn_pack_low(left, right);
    const uint32_t high = nn_pack_high(left, right);
    nn_store_pair(x, nn_sxtab16(offset, low));
    nn_store_pair(x + plane, nn_sxtab16_ror8(offset, low));
    nn_store_pair(x + 2 * plane, nn_sxtab16(offset, high));
    nn_store_pair(x + 3 * plane, nn_sxtab16_ror8(offset, high));
}

/* Expand one input row of four channels. in: its first pixel's first channel; x: that pixel's element in the
 * first plane, 4-byte aligned if pad_left is even, else the one before is. */
NN_INLINE void nn_depthwise_put_row(const nn_window_shape *s, int32_t zero_point, int32_t plane,
                                    const int8_t *in, int16_t *x)
{
    const int32_t columns = nn_min(s->in_w, nn_depthwise_pitch(s) - s->pad_left);
    const int32_t lead = s->pad_left & 1;
    const int32_t pairs = (columns - lead) / 2;
    const uint32_t low = (uint32_t)-zero_point & 0xFFFFu;
    const uint32_t offset = low | (low << 16);
    const uint32_t zeros = ((uint32_t)zero_point & 0xFFu) * 0x01010101u;
    if (lead) {
        nn_depthwise_put(offset, zeros, nn_load_quad(in), plane, x - 1);
        in += s->in_c;
        x++;
    }
    int is_done = 0;
#if NN_SCHEDULED
    is_done = nn_depthwise_expand_asm(pairs, s->in_c, offset, plane, in, x);
#endif
    if (!is_done) {
        for (int32_t i = 0; i < pairs; i++) {
            const int8_t *left = in + 2 * i * s->in_c;
            nn_depthwise_put(offset, nn_load_quad(left), nn_load_quad(left + s->in_c), plane, x + 2 * i);
        }
    }
    if ((columns - lead) & 1) {
        nn_depthwise_put(offset, nn_load_quad(in + 2 * pairs * s->in_c), zeros, plane, x + 2 * pairs);
    }
}

/* Expand the input of count output rows from oy on. channels: 4 or 1, literal; in: the first one's element of
 * pixel 0. The planes' padding is zero already. */
NN_INLINE void nn_depthwise_expand(const nn_window_shape *s, int32_t zero_point, int32_t channels, int32_t oy,
                                   int32_t count, int32_t plane, const int8_t *in, int16_t *planes)
{
    const int32_t pitch = nn_depthwise_pitch(s);
    const int32_t columns = nn_min(s->in_w, pitch - s->pad_left);
    const int32_t top = oy * s->stride_h - s->pad_top;
    const int32_t first = nn_max(0, -top);
    const int32_t end = nn_min(nn_depthwise_rows(s, count), s->in_h - top);
    for (int32_t row = first; row < end; row++) {
        const int8_t *pixel = in + (top + row) * s->in_w * s->in_c;
        int16_t *x = planes + row * pitch + s->pad_left;
        if (channels == 4) {
            nn_depthwise_put_row(s, zero_point, plane, pixel, x);
        } else {
            for (int32_t i = 0; i < columns; i++) {
                x[i] = (int16_t)(pixel[i * s->in_c] - zero_point);
            }
        }
    }
}

/* Whether the tiles below do this layer. */
NN_INLINE int nn_depthwise_has_tiles(const nn_window_shape *s)
{
    return s->kernel_w % 2 == 1 && s->kernel_w >= 3 && s->kernel_w <= NN_DEPTHWISE_KERNEL_MAX &&
           s->kernel_h <= NN_DEPTHWISE_KERNEL_MAX && s->stride_w <= 2;
}

NN_INLINE uint32_t nn_depthwise_tap_pair(const int8_t *weights, int32_t shift)
{
    return nn_pack_low((uint32_t)weights[0] << shift, (uint32_t)weights[1] << shift);
}

/* Weights of one channel, shifted left, as pairs; per kernel row, with half = kernel_w / 2: first the half
 * pairs (w0, w1), (w2, w3), ..., then the half pairs (w1, w2), (w3, w4), ... */
NN_INLINE void nn_depthwise_taps(const nn_window_shape *s, int32_t shift, const int8_t *weights,
                                 uint32_t *taps)
{
    const int32_t half = s->kernel_w / 2;
    NN_DEPTHWISE_UNROLL
    for (int32_t ky = 0; ky < s->kernel_h; ky++) {
        NN_DEPTHWISE_UNROLL
        for (int32_t k = 0; k < half; k++) {
            taps[2 * ky * half + k] = nn_depthwise_tap_pair(weights + ky * s->kernel_w + 2 * k, shift);
            taps[(2 * ky + 1) * half + k] =
                nn_depthwise_tap_pair(weights + ky * s->kernel_w + 2 * k + 1, shift);
        }
    }
}

/* Add one kernel row to one output. x: the words from the output's window on, where the window begins in the
 * first one's low half (odd = 0, literal) or high half (odd = 1). */
NN_INLINE int32_t nn_depthwise_row(int32_t half, int32_t odd, const uint32_t *x, const uint32_t *taps,
                                   int32_t acc)
{
    if (odd) {
        acc = nn_smlatb(x[0], taps[0], acc);
        NN_DEPTHWISE_UNROLL
        for (int32_t k = 0; k < half; k++) {
            acc = nn_smlad(x[k + 1], taps[half + k], acc);
        }
    } else {
        NN_DEPTHWISE_UNROLL
        for (int32_t k = 0; k < half; k++) {
            acc = nn_smlad(x[k], taps[k], acc);
        }
        acc = nn_smlabt(x[half], taps[2 * half - 1], acc);
    }
    return acc;
}

/* rows x columns outputs (literal 1 or 2 each), x: the first one's window. */
NN_INLINE void nn_depthwise_tile(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                 int32_t rows, int32_t columns, nn_channel channel, const uint32_t *taps,
                                 const int16_t *x, int8_t *out)
{
    const int32_t pitch = nn_depthwise_pitch(s);
    const int32_t half = s->kernel_w / 2;
    const int32_t words = half + 1 + (columns - 1) * (s->stride_w - 1);
    int32_t acc[4] = {0};
    NN_DEPTHWISE_UNROLL
    for (int32_t row = 0; row < nn_depthwise_rows(s, rows); row++) {
        uint32_t pairs[NN_DEPTHWISE_KERNEL_MAX / 2 + 2];
        pairs[1] = nn_load_pair(x + row * pitch + 2); /* half is 1 or more, so there are two at least */
        NN_DEPTHWISE_UNROLL
        for (int32_t i = 0; i < words; i++) {
            pairs[i] = nn_load_pair(x + row * pitch + 2 * i);
        }
        NN_DEPTHWISE_UNROLL
        for (int32_t i = 0; i < rows; i++) {
            const int32_t ky = row - i * s->stride_h;
            if (ky >= 0 && ky < s->kernel_h) {
                const uint32_t *t = taps + 2 * ky * half;
                acc[2 * i] = nn_depthwise_row(half, 0, pairs, t, acc[2 * i]);
                if (columns == 2 && s->stride_w == 1) {
                    acc[2 * i + 1] = nn_depthwise_row(half, 1, pairs, t, acc[2 * i + 1]);
                } else if (columns == 2) {
                    acc[2 * i + 1] = nn_depthwise_row(half, 0, pairs + 1, t, acc[2 * i + 1]);
                }
            }
        }
    }
    NN_DEPTHWISE_UNROLL
    for (int32_t i = 0; i < rows; i++) {
        NN_DEPTHWISE_UNROLL
        for (int32_t j = 0; j < columns; j++) {
            out[(i * s->out_w + j) * s->out_c] = nn_requantize(r, l, channel, acc[2 * i + j], NULL);
        }
    }
}

/* rows (literal 1 or 2) rows of outputs. */
NN_INLINE void nn_depthwise_tiles(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                  int32_t rows, nn_channel channel, const uint32_t *taps, const int16_t *x,
                                  int8_t *out)
{
    const int32_t tiles = s->out_w / 2;
    int is_done = 0;
#if NN_SCHEDULED
    is_done = rows == 2 && nn_depthwise_rows_asm(s, r, nn_depthwise_pitch(s), channel, taps, x, out);
#endif
    if (!is_done) {
        NN_KEEP_LOOP
        for (int32_t i = 0; i < tiles; i++) {
            nn_depthwise_tile(s, r, l, rows, 2, channel, taps, x + 2 * i * s->stride_w,
                              out + 2 * i * s->out_c);
        }
    }
    if (s->out_w % 2) {
        nn_depthwise_tile(s, r, l, rows, 1, channel, taps, x + 2 * tiles * s->stride_w,
                          out + 2 * tiles * s->out_c);
    }
}

/* count rows of outputs of one channel; odd: whether count may be odd, literal. x: its plane; out: the
 * channel's first output. */
NN_INLINE void nn_depthwise_plane(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                  int32_t odd, int32_t count, nn_channel channel, const int8_t *weights,
                                  const int16_t *x, int8_t *out)
{
    const int32_t pitch = nn_depthwise_pitch(s);
    uint32_t taps[NN_DEPTHWISE_KERNEL_MAX * (NN_DEPTHWISE_KERNEL_MAX - 1)];
    nn_requant requant = *r;
    int32_t oy = 0;
    requant.pre_shift = 0; /* it is in the weights */
    nn_depthwise_taps(s, r->pre_shift, weights, taps);
    for (; oy + 2 <= count; oy += 2) {
        nn_depthwise_tiles(s, &requant, l, 2, channel, taps, x, out);
        x += 2 * s->stride_h * pitch;
        out += 2 * s->out_w * s->out_c;
    }
    if (odd && oy < count) {
        nn_depthwise_tiles(s, &requant, l, 1, channel, taps, x, out);
    }
}

/* The same for any shape, one product at a time. */
NN_INLINE void nn_depthwise_plain(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                  int32_t count, nn_channel channel, const int8_t *weights, const int16_t *x,
                                  int8_t *out)
{
    const int32_t pitch = nn_depthwise_pitch(s);
    for (int32_t oy = 0; oy < count; oy++) {
        for (int32_t ox = 0; ox < s->out_w; ox++) {
            const int16_t *window = x + oy * s->stride_h * pitch + ox * s->stride_w;
            int32_t acc = 0;
            for (int32_t ky = 0; ky < s->kernel_h; ky++) {
                for (int32_t kx = 0; kx < s->kernel_w; kx++) {
                    acc += weights[ky * s->kernel_w + kx] * window[ky * pitch + kx];
                }
            }
            *out = nn_requantize(r, l, channel, acc, NULL);
            out += s->out_c;
        }
    }
}

/* Which of channels (literal 4 or 1) channels from ch on level has, one bit each. */
NN_INLINE uint32_t nn_depthwise_live(const uint8_t *channel_level, uint32_t level, int32_t channels,
                                     int32_t ch)
{
    uint32_t live = 0;
    NN_DEPTHWISE_UNROLL
    for (int32_t i = 0; i < channels; i++) {
        live |= (uint32_t)nn_depthwise_has(channel_level, level, ch + i) << i;
    }
    return live;
}

/* count outputs of channels (literal 4 or 1) channels from ch on, as if without filters. out: the first. */
NN_INLINE void nn_depthwise_fill(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                 int32_t channels, int32_t ch, int32_t count, int8_t *out)
{
    uint32_t quad = 0;
    NN_DEPTHWISE_UNROLL
    for (int32_t i = 0; i < channels; i++) {
        const int8_t value = nn_requantize(r, l, nn_channel_at(r, l, ch + i), 0, NULL);
        quad |= (uint32_t)(uint8_t)value << (8 * i);
    }
    NN_DEPTHWISE_UNROLL
    for (int32_t i = 0; i < count; i++) {
        if (channels == 4) {
            nn_store_quad(out + i * s->out_c, quad);
        } else {
            out[i * s->out_c] = (int8_t)quad;
        }
    }
}

/* channels (literal 4 or 1) channels from ch on of count output rows from oy on. */
NN_INLINE void nn_depthwise_block(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                  int32_t channels, int32_t ch, int32_t oy, int32_t band,
                                  const int8_t *weights, const uint8_t *channel_level, uint32_t level,
                                  const int8_t *in, int8_t *out, int16_t *scratch)
{
    const int32_t taps = s->kernel_h * s->kernel_w;
    const int32_t plane = nn_depthwise_rows(s, band) * nn_depthwise_pitch(s);
    const int32_t count = nn_min(band, s->out_h - oy);
    const int32_t odd = band % 2 || s->out_h % 2;
    const uint32_t all = (1u << channels) - 1;
    const uint32_t live = channel_level == NULL ? all : nn_depthwise_live(channel_level, level, channels, ch);
    if (live != 0) {
        nn_depthwise_expand(s, r->in_zero_point, channels, oy, count, plane, in + ch, scratch);
    }
    if (live != all) { /* all four, the living ones' outputs follow: no store for each of the others */
        nn_depthwise_fill(s, r, l, channels, ch, count * s->out_w, out + oy * s->out_w * s->out_c + ch);
    }
    NN_KEEP_LOOP
    for (int32_t i = ch; i < ch + channels; i++, scratch += plane) {
        if (channel_level != NULL && !(live >> (i - ch) & 1u)) {
            continue;
        }
        const nn_channel channel = nn_channel_at(r, l, i);
        int8_t *first = out + oy * s->out_w * s->out_c + i;
        if (nn_depthwise_has_tiles(s)) {
            nn_depthwise_plane(s, r, l, odd, count, channel, weights + i * taps, scratch, first);
        } else {
            nn_depthwise_plain(s, r, l, count, channel, weights + i * taps, scratch, first);
        }
    }
}

NN_INLINE void nn_depthwise_conv(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                 int32_t band, const int8_t *weights, const uint8_t *channel_level,
                                 uint32_t level, const int8_t *in, int8_t *out, int16_t *scratch)
{
    const nn_requant_level tables = *l; /* a copy that stores to out cannot alias */
    const int32_t by_4 = s->out_c & ~3;
    const int32_t plane = nn_depthwise_rows(s, band) * nn_depthwise_pitch(s);
    for (int32_t oy = 0; oy < s->out_h; oy += band) {
        nn_fill_zero(scratch, nn_min(4, s->out_c) * plane);
        NN_KEEP_LOOP
        for (int32_t ch = 0; ch < by_4; ch += 4) {
            nn_depthwise_block(s, r, &tables, 4, ch, oy, band, weights, channel_level, level, in, out,
                               scratch);
        }
        NN_KEEP_LOOP
        for (int32_t ch = by_4; ch < s->out_c; ch++) {
            nn_depthwise_block(s, r, &tables, 1, ch, oy, band, weights, channel_level, level, in, out,
                               scratch);
        }
    }
}

#endif
