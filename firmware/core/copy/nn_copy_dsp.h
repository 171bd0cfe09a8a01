/* nn_copy_dsp.h - nn_copy.h: words, which need not be aligned.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_COPY_DSP_H
#define NN_COPY_DSP_H

#include "nn_copy.h"

NN_INLINE void nn_copy_bytes(int32_t size, const int8_t *in, int8_t *out)
{
    const int32_t by_16 = size & ~15;
    const int32_t by_4 = size & ~3;
    for (int32_t i = 0; i < by_16; i += 16) {
        const uint32_t a = nn_load_quad(in + i);
        const uint32_t b = nn_load_quad(in + i + 4);
        const uint32_t c = nn_load_quad(in + i + 8);
        const uint32_t d = nn_load_quad(in + i + 12);
        nn_store_quad(out + i, a);
        nn_store_quad(out + i + 4, b);
        nn_store_quad(out + i + 8, c);
        nn_store_quad(out + i + 12, d);
    }
    for (int32_t i = by_16; i < by_4; i += 4) {
        nn_store_quad(out + i, nn_load_quad(in + i));
    }
    for (int32_t i = by_4; i < size; i++) {
        out[i] = in[i];
    }
}

NN_INLINE void nn_fill_bytes(int32_t size, int32_t fill, int8_t *out)
{
    const uint32_t quad = (uint8_t)fill * UINT32_C(0x01010101);
    const int32_t by_4 = size & ~3;
    for (int32_t i = 0; i < by_4; i += 4) {
        nn_store_quad(out + i, quad);
    }
    for (int32_t i = by_4; i < size; i++) {
        out[i] = (int8_t)fill;
    }
}

#endif
