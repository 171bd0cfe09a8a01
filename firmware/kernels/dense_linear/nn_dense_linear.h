/* nn_dense_linear.h - fully connected layer with dense weights.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[oc] = requantize(dot(row oc of weights, in)), docs/integer-contract.md.
 *
 * s:             nn_window_shape; literal; in_c and out_c, all other extents are 1
 * r:             nn_requant; literal
 * l:             nn_requant_level; tables of out_c channels
 * weights:       int8[out_c * round_up(in_c, 4)]; read; align 4; "Dense weights" of docs/format.md
 * in:            int8[in_c]; read
 * out:           int8[out_c]; written
 * scratch:       int16[scratch_bytes / 2]; written; align 8; overlaps nothing
 * scratch_bytes: 2 * round_up(in_c, 4)
 * aliasing:      in is read before each out_c of out, from 0
 * fails:         never
 */
#ifndef NN_DENSE_LINEAR_H
#define NN_DENSE_LINEAR_H

#include "../../core/nn_arith.h"
#include "../../core/dot/nn_dot.h"
#include "../../core/expand/nn_expand.h"

NN_INLINE void nn_dense_linear(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                               const int8_t *weights, const int8_t *in, int8_t *out, int16_t *scratch);

#include "nn_dense_linear_portable.h"

#endif
