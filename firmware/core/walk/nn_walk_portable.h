/* nn_walk_portable.h - contract in nn_walk.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_WALK_PORTABLE_H
#define NN_WALK_PORTABLE_H

#include "nn_walk.h"

/* One segment. */
NN_INLINE void nn_walk_segment(int32_t group, int32_t tile, int32_t step, nn_stream *cursor,
                               const int16_t *patch, int32_t acc[NN_TILE_MAX])
{
    const uint8_t *position = cursor->positions;
    const int8_t *w = cursor->weights;
    const int16_t *x = patch;
    const int16_t *x_first;
    uint32_t byte;
    do {
        byte = *position++;
        x += (int32_t)(byte & 127u) * group;
        if (group == 4) {
#define NN_COLUMN(p) \
    acc[p] += w[0] * x[(p)*step] + w[2] * x[(p)*step + 1] + w[1] * x[(p)*step + 2] + w[3] * x[(p)*step + 3];
            NN_EACH_COLUMN(tile, NN_COLUMN);
#undef NN_COLUMN
            w += 4;
        } else if (group == 2) { /* two groups share a word; only the second one's byte has the last bit */
            x_first = x;
            byte = *position++;
            x += (int32_t)(byte & 127u) * group;
#define NN_COLUMN(p)                                                                         \
    acc[p] += w[0] * x_first[(p)*step] + w[2] * x_first[(p)*step + 1] + w[1] * x[(p)*step] + \
              w[3] * x[(p)*step + 1];
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
#define NN_COLUMN(p) acc[p] = 0;
    NN_EACH_COLUMN(tile, NN_COLUMN);
#undef NN_COLUMN
    for (nn_stream *cursor = walker->cursor; cursor != walker->end; cursor++) {
        nn_walk_segment(group, tile, step, cursor, walker->patch, acc);
    }
}

#endif
