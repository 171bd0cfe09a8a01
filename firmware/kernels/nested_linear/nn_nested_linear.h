/* nn_nested_linear.h - fully connected layer with nested sparse weights.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[oc] = requantize(dot product of in with the groups of levels 0 .. level), docs/integer-contract.md.
 *
 * s:             nn_window_shape; literal; in_c and out_c, all other extents are 1
 * r:             nn_requant; literal
 * l:             nn_requant_level; tables of out_c channels
 * group:         int32; literal; 1, 2, 4
 * streams:       nn_stream[level + 1]; read; docs/format.md with kernel_h = kernel_w = 1; weights aligned to
 *                4 for groups of 2 and 4
 * level:         uint32; 0 .. NN_MAX_LEVELS - 1
 * in:            int8[in_c]; read
 * out:           int8[out_c]; written
 * scratch:       int16[scratch_bytes / 2]; written; align 8; overlaps nothing
 * scratch_bytes: 2 * round_up(in_c, 4)
 * aliasing:      in is read before each out_c of out, from 0
 * fails:         never
 */
#ifndef NN_NESTED_LINEAR_H
#define NN_NESTED_LINEAR_H

#include "../../core/nn_arith.h"
#include "../../nn_config.h"
#include "../../core/expand/nn_expand.h"
#include "../../core/walk/nn_walk.h"

NN_INLINE void nn_nested_linear(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                int32_t group, const nn_stream *streams, uint32_t level, const int8_t *in,
                                int8_t *out, int16_t *scratch);

#include "nn_nested_linear_portable.h"

#endif
