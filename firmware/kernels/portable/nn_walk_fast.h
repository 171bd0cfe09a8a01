/* nn_walk_fast.h (portable) - no hand-scheduled loops.
 *
 * SPDX-License-Identifier: Apache-2.0
 */

NN_INLINE int nn_walk_fast(int32_t group, int32_t tile, int32_t step, nn_stream *cursor, uint32_t level,
                           const int16_t *patch, int32_t acc[NN_TILE_MAX])
{
    (void)group;
    (void)tile;
    (void)step;
    (void)cursor;
    (void)level;
    (void)patch;
    (void)acc;
    return 0;
}
