/* nn_mul_portable.h - contract in nn_mul.h. Where a row meets one factor alone, that is scaled once.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_MUL_PORTABLE_H
#define NN_MUL_PORTABLE_H

#include "nn_mul.h"

NN_INLINE void nn_mul(int32_t blocks, int32_t rows, int32_t count, int32_t block_step, int32_t row_step,
                      int32_t step, int32_t a_zero, int32_t b_zero, int32_t m, int32_t offset, int32_t shift,
                      int32_t act_min, int32_t act_max, const int8_t *a, const int8_t *b, int8_t *out)
{
    const int32_t by_4 = count & ~3;
#define NN_MUL_ONE(i, factor) \
    out[i] = nn_shift_clamp(offset + (a[i] - a_zero) * (factor), shift, act_min, act_max);
    for (int32_t block = 0; block < blocks; block++) {
        for (int32_t row = 0; row < rows; row++) {
            const int8_t *const from = b + block * block_step + row * row_step;
            const int32_t factor = (from[0] - b_zero) * m;
            for (int32_t i = 0; i < by_4; i += 4) {
                NN_MUL_ONE(i, step == 0 ? factor : (from[i] - b_zero) * m)
                NN_MUL_ONE(i + 1, step == 0 ? factor : (from[i + 1] - b_zero) * m)
                NN_MUL_ONE(i + 2, step == 0 ? factor : (from[i + 2] - b_zero) * m)
                NN_MUL_ONE(i + 3, step == 0 ? factor : (from[i + 3] - b_zero) * m)
            }
            for (int32_t i = by_4; i < count; i++) {
                NN_MUL_ONE(i, step == 0 ? factor : (from[i] - b_zero) * m)
            }
            a += count;
            out += count;
        }
    }
#undef NN_MUL_ONE
}

#endif
