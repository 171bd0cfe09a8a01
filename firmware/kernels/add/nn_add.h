/* nn_add.h - elementwise sum of two tensors.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_ADD_H
#define NN_ADD_H

#include "../../core/nn_arith.h"

/* out[i] = clamp((a[i] * m0 + b[i] * m1 + offset) >> shift, act_min, act_max), i < count.
 * m0, m1: absolute value below 2^22; the sum must fit int32. shift: literal 0 .. 22.
 * out may start where a or b starts, or below: element i of both is read before out[i] is written. Cannot
 * fail. */
NN_INLINE void nn_add(int32_t count, int32_t m0, int32_t m1, int32_t offset, int32_t shift, int32_t act_min,
                      int32_t act_max, const int8_t *a, const int8_t *b, int8_t *out);

#include "nn_add_portable.h"

#endif
