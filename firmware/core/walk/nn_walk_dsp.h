/* nn_walk_dsp.h - contract in nn_walk.h. The usual cases are in nn_walk_asm; any other tile
 * comes here.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_WALK_DSP_H
#define NN_WALK_DSP_H

#include "nn_walk.h"
#if NN_SCHEDULED
#include "nn_walk_asm.h"
#endif

/* One segment. */
NN_INLINE void nn_walk_segment(int32_t group, int32_t tile, int32_t step, nn_stream *cursor,
                               const int16_t *patch, int32_t acc[NN_TILE_MAX])
{
    const uint8_t *position = cursor->positions;
    const int8_t *w = cursor->weights;
    const int16_t *x = patch;
    uint32_t byte;
    do {
        byte = *position++;
        x = (const int16_t *)(const void *)((const char *)x + ((byte & 127u) * (uint32_t)(2 * group)));
        if (group == 4) {
            const uint32_t quad = nn_load_quad(w);
            const uint32_t w01 = nn_sxtb16(quad);
            const uint32_t w23 = nn_sxtb16_ror8(quad);
#define NN_COLUMN(p)                                            \
    acc[p] = nn_smlad(nn_load_pair(&x[(p)*step]), w01, acc[p]); \
    acc[p] = nn_smlad(nn_load_pair(&x[(p)*step + 2]), w23, acc[p]);
            NN_EACH_COLUMN(tile, NN_COLUMN);
#undef NN_COLUMN
            w += 4;
        } else if (group == 2) { /* two groups share a word; only the second one's byte has the last bit */
            const uint32_t quad = nn_load_quad(w);
            const uint32_t wa = nn_sxtb16(quad);
            const uint32_t wb = nn_sxtb16_ror8(quad);
#define NN_COLUMN(p) acc[p] = nn_smlad(nn_load_pair(&x[(p)*step]), wa, acc[p]);
            NN_EACH_COLUMN(tile, NN_COLUMN);
#undef NN_COLUMN
            byte = *position++;
            x = (const int16_t *)(const void *)((const char *)x + ((byte & 127u) * (uint32_t)(2 * group)));
#define NN_COLUMN(p) acc[p] = nn_smlad(nn_load_pair(&x[(p)*step]), wb, acc[p]);
            NN_EACH_COLUMN(tile, NN_COLUMN);
#undef NN_COLUMN
            w += 4;
        } else {
#define NN_COLUMN(p) acc[p] += w[0] * x[(p)*step];
            NN_EACH_COLUMN(tile, NN_COLUMN);
#undef NN_COLUMN
            w += 1;
        }
    } while (byte < 128u);
    cursor->positions = position;
    cursor->weights = w;
}

NN_INLINE void nn_walk(int32_t group, int32_t tile, int32_t step, nn_walker *walker, int32_t acc[NN_TILE_MAX])
{
#if NN_SCHEDULED
    if (nn_walk_asm(group, tile, step, walker, acc)) {
        return;
    }
#endif
    for (int32_t p = 0; p < NN_TILE_MAX; p++) {
        acc[p] = 0;
    }
    for (nn_stream *cursor = walker->cursor; cursor != walker->end; cursor++) {
        nn_walk_segment(group, tile, step, cursor, walker->patch, acc);
    }
}

#endif
