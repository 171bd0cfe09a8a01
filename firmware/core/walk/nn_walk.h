/* nn_walk.h - multiply one channel's nested weights with the patches of adjacent output columns.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_WALK_H
#define NN_WALK_H

#include "../nn_arith.h"
#include "../../nn_config.h"
#include "../../nn_kernels.h"

/* The most output columns a tile may have. */
#define NN_TILE_MAX 8

/* DO(p) for each column p of the tile, p a literal: keeps accumulators in registers at every -O level. */
#define NN_EACH_COLUMN(tile, DO) \
    do {                         \
        DO(0)                    \
        if ((tile) > 1) {        \
            DO(1)                \
        }                        \
        if ((tile) > 2) {        \
            DO(2)                \
        }                        \
        if ((tile) > 3) {        \
            DO(3)                \
        }                        \
        if ((tile) > 4) {        \
            DO(4)                \
        }                        \
        if ((tile) > 5) {        \
            DO(5)                \
        }                        \
        if ((tile) > 6) {        \
            DO(6)                \
        }                        \
        if ((tile) > 7) {        \
            DO(7)                \
        }                        \
    } while (0)

/* A walk through the channels of one tile: where each level's next segment starts, and the first column's
 * patch. at is the kernel's own. */
typedef struct {
    nn_stream *at;
    const nn_stream *end; /* behind the last level's cursor */
    const int16_t *patch;
    nn_stream cursor[NN_MAX_LEVELS];
} nn_walker;

/* Prepare a walk through levels 0 .. level of streams, from channel 0 on. level < NN_MAX_LEVELS. */
NN_INLINE void nn_walk_start(nn_walker *walker, const nn_stream *streams, uint32_t level,
                             const int16_t *patch)
{
    walker->end = walker->cursor + level + 1;
    walker->patch = patch;
    NN_KEEP_LOOP
    for (uint32_t k = 0; k <= level; k++) {
        walker->cursor[k] = streams[NN_OPAQUE(k)]; /* a loop: memcpy would take longer */
    }
}

/* acc[p] = sum over the groups of one channel's segments of weights times patch[p * step + position * group +
 * i], p < tile; move the cursors behind the segments.
 * group: literal 1, 2 or 4. tile: literal 1 .. NN_TILE_MAX. step: elements between the columns' patches.
 * cursors: each at a segment as docs/format.md describes it; weights 4-byte aligned for groups of 2 and 4.
 * patch: 4-byte aligned for groups of 2 and 4, and step even. Nothing else is read or written. */
NN_INLINE void nn_walk(int32_t group, int32_t tile, int32_t step, nn_walker *walker,
                       int32_t acc[NN_TILE_MAX]);

#if NN_SCHEDULED
/* Do nn_walk's work if there is a loop for the arguments; returns whether it did. */
NN_INLINE int nn_walk_asm(int32_t group, int32_t tile, int32_t step, nn_walker *walker,
                          int32_t acc[NN_TILE_MAX]);
#endif

#if NN_KERNELS_USE_DSP
#include "nn_walk_dsp.h"
#else
#include "nn_walk_portable.h"
#endif

#endif
