/* nn_dense_linear_portable.h - contract in nn_dense_linear.h: four rows at a time over one expanded input.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_DENSE_LINEAR_PORTABLE_H
#define NN_DENSE_LINEAR_PORTABLE_H

#include "nn_dense_linear.h"

/* rows outputs from oc on. x: the expanded input. */
NN_INLINE void nn_dense_rows(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                             int32_t rows, int32_t oc, const int8_t *weights, const int16_t *x, int8_t *out)
{
    const int32_t row_bytes = nn_round_up(s->in_c, 4);
    int32_t acc[NN_DOT_MAX];
    const int8_t *w = weights + oc * row_bytes;
    nn_dot(rows, 1, row_bytes, 0, &w, &x, acc);
    for (int32_t j = 0; j < rows; j++) {
        out[oc + j] = nn_requantize(r, l, nn_channel_at(r, l, oc + j), acc[j], NULL);
    }
}

NN_INLINE void nn_dense_linear(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                               const int8_t *weights, const int8_t *in, int8_t *out, int16_t *scratch)
{
    const int32_t by_4 = s->out_c & ~3;
    nn_expand(in, s->in_c, r->in_zero_point, scratch);
    nn_fill_zero(scratch + s->in_c, nn_round_up(s->in_c, 4) - s->in_c);
    for (int32_t oc = 0; oc < by_4; oc += 4) {
        nn_dense_rows(s, r, l, 4, oc, weights, scratch, out);
    }
    for (int32_t oc = by_4; oc < s->out_c; oc++) {
        nn_dense_rows(s, r, l, 1, oc, weights, scratch, out);
    }
}

#endif
