/* nn_matmul.h - products of two matrices that are both activations.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Of each batch, out[i * columns + j] is row i of a times row j of b, or column j where by_columns:
 * acc = sum((a - a_zero) * (b - b_zero)), out = clamp((bias + ((acc << pre_shift) * m + 2^31 >> 32)) >>
 * fraction_bits, act_min, act_max). Two rows and three columns at a time; the last two rows may be computed
 * twice.
 *
 * batches:       int32; literal; 1 .. 2^31 - 1
 * rows:          int32; literal; 1 .. 2^31 - 1
 * columns:       int32; literal; 1 .. 2^31 - 1
 * depth:         int32; literal; 1 .. 2^17; depth * 255 * 255 * 2^pre_shift < 2^31, or less than 255 from
 *                the zero points on
 * by_columns:    int32; literal; 0, 1; 1 where b is depth x columns
 * a_zero:        int32; literal; -128 .. 127
 * b_zero:        int32; literal; -128 .. 127
 * m:             int32; -(2^31) + 1 .. 2^31 - 1
 * bias:          int32; literal; -(2^15) .. 2^15
 * fraction_bits: int32; literal; 0 .. 8
 * pre_shift:     int32; literal; 0 .. 8
 * act_min:       int32; literal; -128 .. 127
 * act_max:       int32; literal; act_min .. 127
 * a:             int8[batches * rows * depth]; read
 * b:             int8[batches * columns * depth]; read
 * out:           int8[batches * rows * columns]; written
 * scratch:       int16[scratch_bytes / 2]; written; align 8; overlaps nothing
 * d:             round_up(depth, 4)
 * scratch_bytes: round_up(6 * d + (depth < d) * rows * d, 8)
 * fails:         never
 */
#ifndef NN_MATMUL_H
#define NN_MATMUL_H

#include "../../core/copy/nn_copy.h"
#include "../../core/dot/nn_dot.h"
#include "../../core/expand/nn_expand.h"
#include "../../core/nn_arith.h"

/* Columns that are computed at once, at most. */
#define NN_MATMUL_TILE 3

NN_INLINE void nn_matmul(int32_t batches, int32_t rows, int32_t columns, int32_t depth, int32_t by_columns,
                         int32_t a_zero, int32_t b_zero, int32_t m, int32_t bias, int32_t fraction_bits,
                         int32_t pre_shift, int32_t act_min, int32_t act_max, const int8_t *a,
                         const int8_t *b, int8_t *out, int16_t *scratch);

#include "nn_matmul_portable.h"

#endif
