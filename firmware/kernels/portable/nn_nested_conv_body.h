/* nn_nested_conv_body.h - contract in nn_nested_conv.h. What differs between machines is in nn_walk and
 * nn_expand.
 *
 * SPDX-License-Identifier: Apache-2.0
 */

/* All output channels of one tile. patch: of the tile's first column; out and residual: its first output. */
NN_INLINE void nn_nested_tile(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                              int32_t group, int32_t tile, const nn_stream *streams, uint32_t level,
                              const int16_t *patch, const int8_t *residual, int8_t *out)
{
    const int32_t step = nn_patch_step(s, nn_round_up(s->in_c, group));
    const int32_t out_c = s->out_c;
    nn_stream cursor[NN_MAX_LEVELS];
    for (uint32_t k = 0; k <= level; k++) {
        cursor[k] = streams[k];
    }
    for (int32_t oc = 0; oc < out_c; oc++) {
        int32_t acc[NN_TILE_MAX] = {0};
        nn_walk(group, tile, step, cursor, level, patch, acc);
        const nn_channel channel = nn_channel_at(r, l, oc);
#define NN_COLUMN(p)      \
    out[(p)*out_c + oc] = \
        nn_requantize(r, l, channel, acc[p], residual == NULL ? NULL : &residual[(p)*out_c + oc]);
        NN_EACH_COLUMN(tile, NN_COLUMN);
#undef NN_COLUMN
    }
}

NN_INLINE void nn_nested_conv(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                              int32_t group, int32_t tile, const nn_stream *streams, uint32_t level,
                              const int8_t *in, const int8_t *residual, int8_t *out, int16_t *scratch)
{
    const int32_t c = nn_round_up(s->in_c, group);
    const int32_t step = nn_patch_step(s, c);
    const nn_requant_level tables = *l; /* a copy that stores to out cannot alias */
    for (int32_t oy = 0; oy < s->out_h; oy++) {
        const int16_t *patch = nn_patch_row(s, c, r->in_zero_point, oy, in, scratch);
        for (int32_t tile_x = 0; tile_x < s->out_w; tile_x += tile) {
            const int32_t ox = nn_min(tile_x, s->out_w - tile);
            const int32_t output = (oy * s->out_w + ox) * s->out_c;
            nn_nested_tile(s, r, &tables, group, tile, streams, level, patch + ox * step,
                           residual == NULL ? NULL : residual + output, out + output);
        }
    }
}
