/* nn_nested_linear.h - fully connected layer with nested sparse weights.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_NESTED_LINEAR_H
#define NN_NESTED_LINEAR_H

#include "../../core/nn_arith.h"
#include "../../nn_config.h"
#include "../../core/expand/nn_expand.h"
#include "../../core/walk/nn_walk.h"

/* out[oc] = requantize(dot product of in with the groups of levels 0 .. level), docs/integer-contract.md.
 * s: in_c inputs and out_c outputs; all other extents are 1. group: literal 1, 2 or 4.
 * streams: level + 1 entries or more, docs/format.md with kernel_h = kernel_w = 1. level < NN_MAX_LEVELS.
 * scratch: 8-byte aligned, in_c rounded up to 4 int16; it overlaps nothing. All of in is read before out is
 * written: they may overlap. Cannot fail. */
NN_INLINE void nn_nested_linear(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                                int32_t group, const nn_stream *streams, uint32_t level, const int8_t *in,
                                int8_t *out, int16_t *scratch);

#include "nn_nested_linear_portable.h"

#endif
