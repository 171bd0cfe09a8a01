/* nn_dense_conv_portable.h - contract in nn_dense_conv.h. What differs between machines is in nn_dot and
 * nn_expand.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_DENSE_CONV_PORTABLE_H
#define NN_DENSE_CONV_PORTABLE_H

#include "nn_dense_conv.h"

/* What the tiles of one output row and a few output channels share. */
typedef struct {
    const int8_t *weights;  /* rows of the channels */
    const int16_t *patch;   /* patch of the row's next column */
    const int8_t *residual; /* of the next column and first channel, or NULL */
    int8_t *out;            /* output of the next column and first channel */
    nn_channel channel[4];
} nn_dense_strip;

/* The next columns of a strip of rows output channels; both literals. */
NN_INLINE void nn_dense_tile(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                             int32_t rows, int32_t columns, int32_t c, nn_dense_strip *strip)
{
    const int32_t row_bytes = nn_round_up(s->kernel_w * s->kernel_h * c, 4);
    int32_t acc[NN_DOT_MAX];
    nn_dot(rows, columns, row_bytes, nn_patch_step(s, c), &strip->weights, &strip->patch, acc);
    strip->weights -= row_bytes;
    strip->patch += columns * nn_patch_step(s, c) - row_bytes;
    for (int32_t j = 0; j < rows; j++) {
        for (int32_t p = 0; p < columns; p++) {
            const int32_t at = p * s->out_c + j;
            strip->out[at] = nn_requantize(r, l, strip->channel[j], acc[j * columns + p],
                                           strip->residual == NULL ? NULL : &strip->residual[at]);
        }
    }
    strip->out += columns * s->out_c;
    if (strip->residual != NULL) {
        strip->residual += columns * s->out_c;
    }
}

/* rows output channels from oc on, of one output row whose first patch is base. */
NN_INLINE void nn_dense_strip_of(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                 int32_t rows, int32_t tile, int32_t c, int32_t oc, const int8_t *weights,
                                 const int16_t *base, const int8_t *residual, int8_t *out)
{
    /* Tiles of 3 leave 0, 2 or, as two tiles of 2, 4 columns; a width of 1 is left to the last. */
    const int32_t threes = tile < 3 ? 0 : (s->out_w - (s->out_w % 3 == 1 ? 4 : 0)) / 3;
    const int32_t twos = tile < 2 ? 0 : (s->out_w - 3 * nn_max(threes, 0)) / 2;
    const int32_t row_bytes = nn_round_up(s->kernel_w * s->kernel_h * c, 4);
    nn_dense_strip strip = {.weights = weights + oc * row_bytes,
                            .patch = base,
                            .residual = residual == NULL ? NULL : residual + oc,
                            .out = out + oc};
    for (int32_t j = 0; j < rows; j++) {
        strip.channel[j] = nn_channel_at(r, l, oc + j);
    }
    for (int32_t i = 0; i < threes; i++) {
        nn_dense_tile(s, r, l, rows, 3, c, &strip);
    }
    for (int32_t i = 0; i < twos; i++) {
        nn_dense_tile(s, r, l, rows, 2, c, &strip);
    }
    for (int32_t i = 3 * nn_max(threes, 0) + 2 * twos; i < s->out_w; i++) {
        nn_dense_tile(s, r, l, rows, 1, c, &strip);
    }
}

/* Output row oy of nn_dense_conv, whose patches begin at base; c: nn_dense_channels. */
NN_INLINE void nn_dense_conv_row(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                 int32_t tile, int32_t c, int32_t oy, const int8_t *weights,
                                 const int16_t *base, const int8_t *residual, int8_t *out)
{
    const int32_t rows = tile == 1 ? 4 : 2;
    const int32_t last = s->out_c % rows;
    const int32_t row = oy * s->out_w * s->out_c;
    const int8_t *row_residual = residual == NULL ? NULL : residual + row;
    for (int32_t oc = 0; oc < s->out_c - last; oc += rows) {
        nn_dense_strip_of(s, r, l, rows, tile, c, oc, weights, base, row_residual, out + row);
    }
    for (int32_t oc = s->out_c - last; oc < s->out_c; oc++) {
        nn_dense_strip_of(s, r, l, 1, tile, c, oc, weights, base, row_residual, out + row);
    }
}

NN_INLINE void nn_dense_conv(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                             int32_t tile, const int8_t *weights, const int8_t *in, const int8_t *residual,
                             int8_t *out, int16_t *scratch)
{
    const int32_t c = nn_dense_channels(s);
    const nn_requant_level tables = *l; /* a copy that stores to out cannot alias */
    for (int32_t oy = 0; oy < s->out_h; oy++) {
        const int16_t *base = nn_patch_row(s, c, r->in_zero_point, oy, in, scratch);
        nn_dense_conv_row(s, r, &tables, tile, c, oy, weights, base, residual, out);
    }
}

#endif
