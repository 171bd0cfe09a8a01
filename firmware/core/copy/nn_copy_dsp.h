/* nn_copy_dsp.h - nn_copy.h: words, which need not be aligned.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_COPY_DSP_H
#define NN_COPY_DSP_H

#include "nn_copy.h"

NN_INLINE void nn_copy_bytes(int32_t size, const int8_t *in, int8_t *out)
{
    const int32_t by_4 = size & ~3;
    for (int32_t i = 0; i < by_4; i += 4) {
        nn_store_quad(out + i, nn_load_quad(in + i));
    }
    for (int32_t i = by_4; i < size; i++) {
        out[i] = in[i];
    }
}

#endif
