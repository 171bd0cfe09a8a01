/* nn_dense_linear.h - fully connected layer with dense weights.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_DENSE_LINEAR_H
#define NN_DENSE_LINEAR_H

#include "../../core/nn_arith.h"
#include "../../core/dot/nn_dot.h"
#include "../../core/expand/nn_expand.h"

/* out[oc] = requantize(dot(row oc of weights, in)), docs/integer-contract.md.
 * s: in_c inputs and out_c outputs; all other extents are 1.
 * weights: "Dense weights" of docs/format.md, rows of in_c rounded up to 4, 4-byte aligned.
 * scratch: 8-byte aligned, in_c rounded up to 4 int16; it overlaps nothing. All of in is read before out is
 * written: they may overlap. Cannot fail. */
NN_INLINE void nn_dense_linear(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                               const int8_t *weights, const int8_t *in, int8_t *out, int16_t *scratch);

#include "nn_dense_linear_portable.h"

#endif
