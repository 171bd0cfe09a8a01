/* nn_dot_dsp.h - contract in nn_dot.h. The usual tiles are in nn_dot_asm; any other comes here.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_DOT_DSP_H
#define NN_DOT_DSP_H

#include "nn_dot.h"
#if NN_SCHEDULED
#include "nn_dot_asm.h"
#endif

/* Four elements of column p; row j of the weights times every column. */
#define NN_DOT_COLUMN(p)                        \
    if ((p) < columns) {                        \
        x[p] = nn_load_pair(at + (p)*step);     \
        y[p] = nn_load_pair(at + (p)*step + 2); \
    }
#define NN_DOT_PRODUCT(j, p)                                                \
    if ((p) < columns) {                                                    \
        acc[(j)*columns + (p)] = nn_smlad(x[p], a, acc[(j)*columns + (p)]); \
        acc[(j)*columns + (p)] = nn_smlad(y[p], b, acc[(j)*columns + (p)]); \
    }
#define NN_DOT_ROW(j)                                          \
    if ((j) < rows) {                                          \
        const uint32_t quad = nn_load_quad(w + (j)*row_bytes); \
        const uint32_t a = nn_sxtb16(quad);                    \
        const uint32_t b = nn_sxtb16_ror8(quad);               \
        NN_DOT_PRODUCT(j, 0)                                   \
        NN_DOT_PRODUCT(j, 1)                                   \
        NN_DOT_PRODUCT(j, 2)                                   \
        NN_DOT_PRODUCT(j, 3)                                   \
    }

NN_INLINE void nn_dot(int32_t rows, int32_t columns, int32_t row_bytes, int32_t step, const int8_t **weights,
                      const int16_t **patch, int32_t acc[NN_DOT_MAX])
{
    const int8_t *w = *weights;
    const int16_t *at = *patch;
#if NN_SCHEDULED
    if (nn_dot_asm(rows, columns, row_bytes, step, weights, patch, acc)) {
        return;
    }
#endif
    for (int32_t i = 0; i < rows * columns; i++) {
        acc[i] = 0;
    }
    do {
        uint32_t x[4], y[4];
        NN_DOT_COLUMN(0)
        NN_DOT_COLUMN(1)
        NN_DOT_COLUMN(2)
        NN_DOT_COLUMN(3)
        NN_DOT_ROW(0)
        NN_DOT_ROW(1)
        NN_DOT_ROW(2)
        NN_DOT_ROW(3)
        w += 4;
        at += 4;
    } while (w != *weights + row_bytes);
    *weights = w;
    *patch = at;
}

#undef NN_DOT_COLUMN
#undef NN_DOT_PRODUCT
#undef NN_DOT_ROW

#endif
