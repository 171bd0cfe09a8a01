/* nn_nested_linear_portable.h - contract in nn_nested_linear.h: the walk over one column.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_NESTED_LINEAR_PORTABLE_H
#define NN_NESTED_LINEAR_PORTABLE_H

#include "nn_nested_linear.h"

NN_INLINE void nn_nested_linear(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                int32_t group, const nn_stream *streams, uint32_t level, const int8_t *in,
                                int8_t *out, int16_t *scratch)
{
    nn_walker walker;
    nn_walk_start(&walker, streams, level, scratch);
    nn_expand(in, s->in_c, r->in_zero_point, scratch);
    nn_fill_zero(scratch + s->in_c, nn_round_up(s->in_c, 4) - s->in_c);
    for (int32_t oc = 0; oc < s->out_c; oc++) {
        int32_t acc[NN_TILE_MAX];
        nn_walk(group, 1, 0, &walker, acc);
        out[oc] = nn_requantize(r, l, nn_channel_at(r, l, oc), acc[0], NULL);
    }
}

#endif
