/* nn_nested_conv_portable.h - contract in nn_nested_conv.h. What differs between machines is in nn_walk,
 * nn_put and nn_expand.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_NESTED_CONV_PORTABLE_H
#define NN_NESTED_CONV_PORTABLE_H

#include "nn_nested_conv.h"

/* All output channels of one tile. patch: of the tile's first column; target: its first output. */
NN_INLINE void nn_nested_tile(const nn_window_shape *s, const nn_requant *r, int32_t group, int32_t tile,
                              const nn_stream *streams, uint32_t level, int has_residual,
                              const int16_t *patch, nn_walker *walker, nn_target *target)
{
    const int32_t step = nn_patch_step(s, nn_round_up(s->in_c, group));
    int another;
    nn_walk_start(walker, streams, level, patch);
    do {
        int32_t acc[NN_TILE_MAX];
        nn_walk(group, tile, step, walker, acc);
        another = nn_put(r, tile, s->out_c, has_residual, acc, target);
    } while (another);
    target->channels -= s->out_c; /* on to the next tile: one column has been passed */
    target->out += (tile - 1) * s->out_c;
    if (has_residual) {
        target->residual += (tile - 1) * s->out_c;
    }
}

/* Prepare scratch for the rows of nn_nested_conv; target: what the first of them begins with. Returns where
 * the patch buffer begins. */
NN_INLINE int16_t *nn_nested_conv_start(const nn_window_shape *s, const nn_requant *r,
                                        const nn_requant_level *l, const int8_t *residual, int8_t *out,
                                        int16_t *scratch, nn_target *target)
{
    nn_channel *const channels = (nn_channel *)(void *)scratch;
    *target = (nn_target){
        .out = out,
        .channels = channels,
        .channels_end = channels + s->out_c,
        .residual = residual,
        .residual_multiplier = l->residual_multiplier,
        .residual_offset = (1 << 15) - r->residual_zero_point * l->residual_multiplier,
    };
    nn_channels(r, l, s->out_c, channels);
    return (int16_t *)(void *)(channels + s->out_c);
}

/* The next output row of nn_nested_conv, whose patches begin at patch. */
NN_INLINE void nn_nested_conv_row(const nn_window_shape *s, const nn_requant *r, int32_t group, int32_t tile,
                                  const nn_stream *streams, uint32_t level, int has_residual,
                                  const int16_t *patch, nn_walker *walker, nn_target *target)
{
    const int32_t c = nn_round_up(s->in_c, group);
    const int32_t rest = s->out_w % tile;
    NN_KEEP_LOOP
    for (int32_t tiles = s->out_w / tile; tiles > 0; tiles--) {
        nn_nested_tile(s, r, group, tile, streams, level, has_residual, patch, walker, target);
        patch += tile * nn_patch_step(s, c);
    }
    if (rest > 0) {
        nn_nested_tile(s, r, group, rest, streams, level, has_residual, patch, walker, target);
    }
}

NN_INLINE void nn_nested_conv(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                              int32_t group, int32_t tile, const nn_stream *streams, uint32_t level,
                              const int8_t *in, const int8_t *residual, int8_t *out, int16_t *scratch)
{
    const int32_t c = nn_round_up(s->in_c, group);
    nn_walker walker;
    nn_target target;
    int16_t *const buffer = nn_nested_conv_start(s, r, l, residual, out, scratch, &target);
    for (int32_t oy = 0; oy < s->out_h; oy++) {
        const int16_t *patch = nn_patch_row(s, c, r->in_zero_point, oy, in, buffer);
        nn_nested_conv_row(s, r, group, tile, streams, level, residual != NULL, patch, &walker, &target);
    }
}

#endif
