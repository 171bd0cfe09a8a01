/* nn_concat_dsp.h - contract in nn_concat.h. Words, which need not be aligned.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_CONCAT_DSP_H
#define NN_CONCAT_DSP_H

#include "nn_concat.h"

NN_INLINE void nn_concat(int32_t runs, int32_t size, int32_t offset, int32_t step, const int8_t *in,
                         int8_t *out)
{
    const int32_t by_4 = size & ~3;
    out += offset;
    for (int32_t run = 0; run < runs; run++) {
        for (int32_t i = 0; i < by_4; i += 4) {
            nn_store_quad(out + i, nn_load_quad(in + i));
        }
        for (int32_t i = by_4; i < size; i++) {
            out[i] = in[i];
        }
        in += size;
        out += step;
    }
}

#endif
