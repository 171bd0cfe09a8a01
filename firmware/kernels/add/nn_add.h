/* nn_add.h - elementwise sum of two tensors.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out[i] = clamp((a[i] * m0 + b[i] * m1 + offset) >> shift, act_min, act_max), i < count. The sum must fit
 * int32.
 *
 * count:    int32; literal; 1 .. 2^31 - 1
 * m0:       int32; -(2^22) + 1 .. 2^22 - 1
 * m1:       int32; -(2^22) + 1 .. 2^22 - 1
 * offset:   int32; -(2^30) .. 2^30 - 1; or whatever keeps the sum an int32
 * shift:    int32; literal; 0 .. 22
 * act_min:  int32; literal; -128 .. 127
 * act_max:  int32; literal; act_min .. 127
 * a:        int8[count]; read
 * b:        int8[count]; read
 * out:      int8[count]; written
 * aliasing: a is read before each 1 of out, from y
 * aliasing: b is read before each 1 of out, from y
 * fails:    never
 * check:    (2^22 - 1) * 128 * 2 + 2^30 <= 2^31
 */
#ifndef NN_ADD_H
#define NN_ADD_H

#include "../../core/nn_arith.h"

NN_INLINE void nn_add(int32_t count, int32_t m0, int32_t m1, int32_t offset, int32_t shift, int32_t act_min,
                      int32_t act_max, const int8_t *a, const int8_t *b, int8_t *out);

#include "nn_add_portable.h"

#endif
