/* nn_pad_portable.h - contract in nn_pad.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_PAD_PORTABLE_H
#define NN_PAD_PORTABLE_H

#include "nn_pad.h"

NN_INLINE void nn_pad(const nn_gaps *s, int32_t fill, int32_t align, const int8_t *in, int8_t *out)
{
    nn_fill(align, s->top, fill, out);
    out += s->top;
    for (int32_t row = 0; row < s->rows; row++) {
        nn_fill(align, s->left, fill, out);
        out += s->left;
        for (int32_t run = 0; run < s->runs; run++) {
            nn_fill(align, s->front, fill, out);
            out += s->front;
            nn_copy(align, s->size, in, out);
            in += s->size;
            out += s->size;
            nn_fill(align, s->back, fill, out);
            out += s->back;
        }
        nn_fill(align, s->right, fill, out);
        out += s->right;
    }
    nn_fill(align, s->bottom, fill, out);
}

#endif
