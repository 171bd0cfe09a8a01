/* nn_copy_portable.h - nn_copy.h: four bytes are read before four are written.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_COPY_PORTABLE_H
#define NN_COPY_PORTABLE_H

#include "nn_copy.h"

NN_INLINE void nn_copy_bytes(int32_t size, const int8_t *in, int8_t *out)
{
    const int32_t by_4 = size & ~3;
    for (int32_t i = 0; i < by_4; i += 4) {
        const int8_t a = in[i];
        const int8_t b = in[i + 1];
        const int8_t c = in[i + 2];
        const int8_t d = in[i + 3];
        out[i] = a;
        out[i + 1] = b;
        out[i + 2] = c;
        out[i + 3] = d;
    }
    for (int32_t i = by_4; i < size; i++) {
        out[i] = in[i];
    }
}

NN_INLINE void nn_fill_bytes(int32_t size, int32_t fill, int8_t *out)
{
    for (int32_t i = 0; i < size; i++) {
        out[i] = (int8_t)fill;
    }
}

#endif
