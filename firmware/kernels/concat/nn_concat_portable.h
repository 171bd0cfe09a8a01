/* nn_concat_portable.h - contract in nn_concat.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_CONCAT_PORTABLE_H
#define NN_CONCAT_PORTABLE_H

#include "nn_concat.h"

/* A pass of the loop is a few instructions beside those of the loop; gcc unrolls shorter ones. */
NN_INLINE void nn_concat(int32_t runs, int32_t size, int32_t offset, int32_t step, int32_t align,
                         const int8_t *in, int8_t *out)
{
    out += offset;
    if (runs <= 16 || size > 16) {
        for (int32_t run = 0; run < runs; run++) {
            nn_copy(align, size, in, out);
            in += size;
            out += step;
        }
        return;
    }
    _Pragma("GCC unroll 4") for (int32_t run = 0; run < runs; run++)
    {
        nn_copy(align, size, in, out);
        in += size;
        out += step;
    }
}

#endif
