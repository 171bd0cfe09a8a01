/* nn_add.h - elementwise sum of two tensors, the second repeated where it has one element.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Element (i * rows + j) * count + k of a and out, i < blocks, j < rows, k < count, meets element
 * i * block_step + j * row_step + k * step of b: out = clamp((a * m0 + b * m1 + offset) >> shift, act_min,
 * act_max). The sum must fit int32.
 *
 * blocks:     int32; literal; 1 .. 2^31 - 1
 * rows:       int32; literal; 1 .. 2^31 - 1
 * count:      int32; literal; 1 .. 2^31 - 1
 * block_step: int32; literal; 0 .. 2^31 - 1
 * row_step:   int32; literal; 0 .. 2^31 - 1
 * step:       int32; literal; 0 .. 1
 * m0:         int32; -(2^22) + 1 .. 2^22 - 1
 * m1:         int32; -(2^22) + 1 .. 2^22 - 1
 * offset:     int32; -(2^30) .. 2^30 - 1; or whatever keeps the sum an int32
 * shift:      int32; literal; 0 .. 22
 * act_min:    int32; literal; -128 .. 127
 * act_max:    int32; literal; act_min .. 127
 * b_bytes:    (blocks - 1) * block_step + (rows - 1) * row_step + (count - 1) * step + 1
 * a:          int8[blocks * rows * count]; read
 * b:          int8[b_bytes]; read
 * out:        int8[blocks * rows * count]; written
 * aliasing:   a is read before each 1 of out, from y
 * aliasing:   b is read before each 1 of out, from
 *             y / (rows * count) * block_step + y / count % rows * row_step + y % count * step
 * fails:      never
 * check:      (2^22 - 1) * 128 * 2 + 2^30 <= 2^31
 */
#ifndef NN_ADD_H
#define NN_ADD_H

#include "../../core/nn_arith.h"

NN_INLINE void nn_add(int32_t blocks, int32_t rows, int32_t count, int32_t block_step, int32_t row_step,
                      int32_t step, int32_t m0, int32_t m1, int32_t offset, int32_t shift, int32_t act_min,
                      int32_t act_max, const int8_t *a, const int8_t *b, int8_t *out);

#include "nn_add_portable.h"

#endif
