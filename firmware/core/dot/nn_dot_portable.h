/* nn_dot_portable.h - contract in nn_dot.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_DOT_PORTABLE_H
#define NN_DOT_PORTABLE_H

#include "nn_dot.h"

NN_INLINE void nn_dot(int32_t rows, int32_t columns, int32_t row_bytes, int32_t step, const int8_t **weights,
                      const int16_t **patch, int32_t acc[NN_DOT_MAX])
{
    for (int32_t j = 0; j < rows; j++) {
        for (int32_t p = 0; p < columns; p++) {
            const int8_t *w = *weights + j * row_bytes;
            const int16_t *x = *patch + p * step;
            int32_t sum = 0;
            for (int32_t i = 0; i < row_bytes; i += 4) {
                sum += w[i] * x[i] + w[i + 2] * x[i + 1] + w[i + 1] * x[i + 2] + w[i + 3] * x[i + 3];
            }
            acc[j * columns + p] = sum;
        }
    }
    *weights += row_bytes;
    *patch += row_bytes;
}

#endif
