/* nn_add_portable.h - contract in nn_add.h. Six instructions an element with DSP: there is nothing to win by
 * packing.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_ADD_PORTABLE_H
#define NN_ADD_PORTABLE_H

#include "nn_add.h"

NN_INLINE void nn_add(int32_t blocks, int32_t rows, int32_t count, int32_t block_step, int32_t row_step,
                      int32_t step, int32_t m0, int32_t m1, int32_t offset, int32_t shift, int32_t act_min,
                      int32_t act_max, const int8_t *a, const int8_t *b, int8_t *out)
{
    const int32_t by_4 = count & ~3;
#define NN_ADD_ONE(i)                                                                 \
    out[i] = step == 0 ? nn_shift_clamp(summand + a[i] * m0, shift, act_min, act_max) \
                       : nn_shift_clamp(offset + a[i] * m0 + from[i] * m1, shift, act_min, act_max);
    for (int32_t block = 0; block < blocks; block++) {
        for (int32_t row = 0; row < rows; row++) {
            const int8_t *const from = b + block * block_step + row * row_step;
            const int32_t summand = offset + from[0] * m1;
            for (int32_t i = 0; i < by_4; i += 4) {
                NN_ADD_ONE(i)
                NN_ADD_ONE(i + 1)
                NN_ADD_ONE(i + 2)
                NN_ADD_ONE(i + 3)
            }
            for (int32_t i = by_4; i < count; i++) {
                NN_ADD_ONE(i)
            }
            a += count;
            out += count;
        }
    }
#undef NN_ADD_ONE
}

#endif
