/* nn_matmul_portable.h - contract in nn_matmul.h. What differs between machines is in nn_dot and nn_expand.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_MATMUL_PORTABLE_H
#define NN_MATMUL_PORTABLE_H

#include "nn_matmul.h"

/* What all tiles of a product share: literals, but for m. */
typedef struct {
    int32_t rows, columns, depth, d; /* d: depth, rounded up to fours */
    int32_t by_columns, a_zero, b_zero;
    int32_t m, bias, fraction_bits, pre_shift, act_min, act_max;
} nn_matmul_numbers;

/* The columns of a strip: widened, less b_zero, and what the zero point of a adds to their sums. */
NN_INLINE void nn_matmul_strip(const nn_matmul_numbers *n, int32_t width, const int8_t *b, int16_t *strip,
                               int32_t fix[NN_MATMUL_TILE])
{
    for (int32_t p = 0; p < width; p++) {
        int16_t *const to = strip + p * n->d;
        if (n->by_columns) {
            nn_expand_column(b + p, n->columns, n->depth, n->b_zero, to);
        } else {
            nn_expand_quads(b + p * n->depth, n->depth, n->b_zero, to);
        }
        fix[p] = n->a_zero == 0 ? 0 : -n->a_zero * nn_sum(to, n->d);
    }
}

/* Rows of a, d apart, times the columns of a strip. */
NN_INLINE void nn_matmul_tile(const nn_matmul_numbers *n, int32_t height, int32_t width, const int8_t *a,
                              const int16_t *strip, const int32_t fix[NN_MATMUL_TILE], int8_t *out)
{
    int32_t acc[NN_DOT_MAX];
    nn_dot(height, width, n->d, n->d, &a, &strip, acc);
    for (int32_t j = 0; j < height; j++) {
        for (int32_t p = 0; p < width; p++) {
            const int32_t sum = nn_shift_left(acc[j * width + p] + fix[p], n->pre_shift);
            const int32_t t = nn_smmlar(sum, n->m, n->bias);
            out[j * n->columns + p] = nn_shift_clamp(t, n->fraction_bits, n->act_min, n->act_max);
        }
    }
}

/* The next columns of all rows; moves b and out behind them. */
NN_INLINE void nn_matmul_columns(const nn_matmul_numbers *n, int32_t width, const int8_t *a, const int8_t **b,
                                 int8_t **out, int16_t *strip)
{
    const int32_t height = n->rows == 1 ? 1 : 2;
    int32_t fix[NN_MATMUL_TILE];
    nn_matmul_strip(n, width, *b, strip, fix);
    for (int32_t left = n->rows; left > 0; left -= height) {
        const int32_t row = nn_min(n->rows - left, n->rows - height);
        nn_matmul_tile(n, height, width, a + row * n->d, strip, fix, *out + row * n->columns);
    }
    *b += n->by_columns ? width : width * n->depth;
    *out += width;
}

NN_INLINE void nn_matmul(int32_t batches, int32_t rows, int32_t columns, int32_t depth, int32_t by_columns,
                         int32_t a_zero, int32_t b_zero, int32_t m, int32_t bias, int32_t fraction_bits,
                         int32_t pre_shift, int32_t act_min, int32_t act_max, const int8_t *a,
                         const int8_t *b, int8_t *out, int16_t *scratch)
{
    /* Strips of 3 columns leave 0, 2 or, as two strips of 2, 4; one column stands alone. */
    const int32_t threes = columns < 2 ? 0 : (columns - (columns % 3 == 1 ? 4 : 0)) / 3;
    const int32_t twos = columns < 2 ? 0 : (columns - 3 * threes) / 2;
    const nn_matmul_numbers n = {rows,   columns, depth, nn_round_up(depth, 4), by_columns, a_zero,
                                 b_zero, m,       bias,  fraction_bits,         pre_shift,  act_min,
                                 act_max};
    int8_t *const copy = (int8_t *)(scratch + 3 * n.d);
    for (int32_t batch = 0; batch < batches; batch++) {
        const int8_t *from = a + batch * rows * depth;
        const int8_t *at = b + batch * columns * depth;
        int8_t *to = out + batch * rows * columns;
        if (n.d != depth) { /* rows of whole fours, whose ends meet zeros */
            for (int32_t i = 0; i < rows; i++) {
                nn_copy_bytes(depth, from + i * depth, copy + i * n.d);
                nn_fill_bytes(n.d - depth, 0, copy + i * n.d + depth);
            }
            from = copy;
        }
        for (int32_t i = 0; i < threes; i++) {
            nn_matmul_columns(&n, 3, from, &at, &to, scratch);
        }
        for (int32_t i = 0; i < twos; i++) {
            nn_matmul_columns(&n, 2, from, &at, &to, scratch);
        }
        if (columns == 1) {
            nn_matmul_columns(&n, 1, from, &at, &to, scratch);
        }
    }
}

#endif
