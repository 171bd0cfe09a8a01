/* nn_dot.h - dot products of dense weight rows with expanded patches, several at once to share the loads.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_DOT_H
#define NN_DOT_H

#include "../nn_arith.h"
#include "../../nn_kernels.h"

/* Weight rows and columns one call of nn_dot may take: at most 4 rows, 4 columns, 8 dot products. */
#define NN_DOT_MAX 8

/* acc[j * columns + p] = dot(row j of *weights, column p of *patch), j < rows, p < columns. Both pointers go
 * on by row_bytes elements, so that a caller need not keep what the loop moves anyway.
 * rows, columns: literals; rows 1, 2 or 4, columns 1 .. 4, rows * columns <= NN_DOT_MAX.
 * row_bytes: length of a weight row, a multiple of 4, each four stored as w0 w2 w1 w3; weights 4-byte
 * aligned. step: elements between the columns' patches, even; patch 4-byte aligned, row_bytes int16 are read
 * per column. */
NN_INLINE void nn_dot(int32_t rows, int32_t columns, int32_t row_bytes, int32_t step, const int8_t **weights,
                      const int16_t **patch, int32_t acc[NN_DOT_MAX]);

#if NN_SCHEDULED
/* Do nn_dot's work if there is a loop for the arguments; returns whether it did. */
NN_INLINE int nn_dot_asm(int32_t rows, int32_t columns, int32_t row_bytes, int32_t step,
                         const int8_t **weights, const int16_t **patch, int32_t acc[NN_DOT_MAX]);
#endif

#if NN_KERNELS_USE_DSP
#include "nn_dot_dsp.h"
#else
#include "nn_dot_portable.h"
#endif

#endif
