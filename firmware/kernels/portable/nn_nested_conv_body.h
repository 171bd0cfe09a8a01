/* nn_nested_conv_body.h - contract in nn_nested_conv.h. What differs between machines is in nn_walk and
 * nn_expand.
 *
 * SPDX-License-Identifier: Apache-2.0
 */

/* All output channels of one tile. channels: M and B of each; walker: room for the walk; patch: of the tile's
 * first column; out and residual: its first output. */
NN_INLINE void nn_nested_tile(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                              int32_t group, int32_t tile, const nn_stream *streams, uint32_t level,
                              const nn_channel *channels, nn_walker *walker, const int16_t *patch,
                              const int8_t *residual, int8_t *out)
{
    const int32_t step = nn_patch_step(s, nn_round_up(s->in_c, group));
    const int32_t out_c = s->out_c;
    const nn_channel *const end = channels + out_c;
    nn_walk_start(walker, streams, level, patch);
    NN_KEEP_LOOP
    for (; channels != end; channels++) {
        int32_t acc[NN_TILE_MAX];
        nn_walk(group, tile, step, walker, acc);
        const nn_channel channel = *channels;
#define NN_COLUMN(p) \
    out[(p)*out_c] = nn_requantize(r, l, channel, acc[p], residual == NULL ? NULL : &residual[(p)*out_c]);
        NN_EACH_COLUMN(tile, NN_COLUMN);
#undef NN_COLUMN
        out++;
        if (residual != NULL) {
            residual++;
        }
    }
}

NN_INLINE void nn_nested_conv(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                              int32_t group, int32_t tile, const nn_stream *streams, uint32_t level,
                              const int8_t *in, const int8_t *residual, int8_t *out, int16_t *scratch)
{
    const int32_t c = nn_round_up(s->in_c, group);
    const int32_t rest = s->out_w % tile;
    const int32_t tile_step = tile * nn_patch_step(s, c);
    const nn_requant_level tables = *l; /* a copy that stores to out cannot alias */
    nn_channel *const channels = (nn_channel *)(void *)scratch;
    int16_t *const buffer = (int16_t *)(void *)(channels + s->out_c);
    nn_walker walker;
    nn_channels(r, l, s->out_c, channels);
    for (int32_t oy = 0; oy < s->out_h; oy++) {
        const int16_t *patch = nn_patch_row(s, c, r->in_zero_point, oy, in, buffer);
        NN_KEEP_LOOP
        for (int32_t tiles = s->out_w / tile; tiles > 0; tiles--) {
            nn_nested_tile(s, r, &tables, group, tile, streams, level, channels, &walker, patch, residual,
                           out);
            patch += tile_step;
            out += tile * s->out_c;
            residual = residual == NULL ? NULL : residual + tile * s->out_c;
        }
        if (rest > 0) {
            nn_nested_tile(s, r, &tables, group, rest, streams, level, channels, &walker, patch, residual,
                           out);
            out += rest * s->out_c;
            residual = residual == NULL ? NULL : residual + rest * s->out_c;
        }
    }
}
