/* nn_dense_conv_body.h - contract in nn_dense_conv.h. What differs between machines is in nn_dot and
 * nn_expand.
 *
 * SPDX-License-Identifier: Apache-2.0
 */

/* rows output channels from oc on, for one tile. patch: of the tile's first column; out, residual: its first
 * output. */
NN_INLINE void nn_dense_tile(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                             int32_t rows, int32_t tile, int32_t oc, const int8_t *weights,
                             const int16_t *patch, const int8_t *residual, int8_t *out)
{
    const int32_t c = nn_round_up(s->in_c, 2);
    const int32_t row_bytes = nn_round_up(s->kernel_w * s->kernel_h * c, 4);
    const int32_t out_c = s->out_c;
    int32_t acc[NN_DOT_MAX] = {0};
    nn_dot(rows, tile, row_bytes, nn_patch_step(s, c), weights + oc * row_bytes, patch, acc);
    for (int32_t j = 0; j < rows; j++) {
        const nn_channel channel = nn_channel_at(r, l, oc + j);
        for (int32_t p = 0; p < tile; p++) {
            const int32_t at = p * out_c + oc + j;
            out[at] =
                nn_requantize(r, l, channel, acc[j * tile + p], residual == NULL ? NULL : &residual[at]);
        }
    }
}

NN_INLINE void nn_dense_conv(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                             int32_t tile, const int8_t *weights, const int8_t *in, const int8_t *residual,
                             int8_t *out, int16_t *scratch)
{
    const int32_t c = nn_round_up(s->in_c, 2);
    const int32_t step = nn_patch_step(s, c);
    const nn_requant_level tables = *l; /* a copy that stores to out cannot alias */
    for (int32_t oy = 0; oy < s->out_h; oy++) {
        const int16_t *base = nn_patch_row(s, c, r->in_zero_point, oy, in, scratch);
        for (int32_t tile_x = 0; tile_x < s->out_w; tile_x += tile) {
            const int32_t ox = nn_min(tile_x, s->out_w - tile);
            const int32_t output = (oy * s->out_w + ox) * s->out_c;
            const int16_t *patch = base + ox * step;
            const int8_t *tile_residual = residual == NULL ? NULL : residual + output;
            const int32_t by_2 = s->out_c & ~1;
            for (int32_t oc = 0; oc < by_2; oc += 2) {
                nn_dense_tile(s, r, &tables, 2, tile, oc, weights, patch, tile_residual, out + output);
            }
            if (by_2 < s->out_c) {
                nn_dense_tile(s, r, &tables, 1, tile, by_2, weights, patch, tile_residual, out + output);
            }
        }
    }
}
