/* nn_mul.h - elementwise product of two tensors, the second repeated where it has one element.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Element (i * rows + j) * count + k of a and out, i < blocks, j < rows, k < count, meets element
 * i * block_step + j * row_step + k * step of b:
 * out = clamp(((a - a_zero) * (b - b_zero) * m + offset) >> shift, act_min, act_max).
 *
 * blocks:     int32; literal; 1 .. 2^31 - 1
 * rows:       int32; literal; 1 .. 2^31 - 1
 * count:      int32; literal; 1 .. 2^31 - 1
 * block_step: int32; literal; 0 .. 2^31 - 1
 * row_step:   int32; literal; 0 .. 2^31 - 1
 * step:       int32; literal; 0 .. 1
 * a_zero:     int32; literal; -128 .. 127
 * b_zero:     int32; literal; -128 .. 127
 * m:          int32; -(2^14) + 1 .. 2^14 - 1; or whatever keeps 2^16 * m + offset an int32, and below 2^15
 * offset:     int32; -(2^30) .. 2^30 - 1
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
 * check:      256 * 256 * (2^14 - 1) + 2^30 <= 2^31
 */
#ifndef NN_MUL_H
#define NN_MUL_H

#include "../../core/nn_arith.h"

NN_INLINE void nn_mul(int32_t blocks, int32_t rows, int32_t count, int32_t block_step, int32_t row_step,
                      int32_t step, int32_t a_zero, int32_t b_zero, int32_t m, int32_t offset, int32_t shift,
                      int32_t act_min, int32_t act_max, const int8_t *a, const int8_t *b, int8_t *out);

#if NN_KERNELS_USE_DSP
#include "nn_mul_dsp.h"
#else
#include "nn_mul_portable.h"
#endif

#endif
