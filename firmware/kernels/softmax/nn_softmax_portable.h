/* nn_softmax_portable.h - contract in nn_softmax.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_SOFTMAX_PORTABLE_H
#define NN_SOFTMAX_PORTABLE_H

#include "nn_softmax.h"

NN_INLINE void nn_softmax(int32_t positions, int32_t channels, const uint16_t *table, const int8_t *in,
                          int8_t *out)
{
    for (int32_t position = 0; position < positions; position++) {
        int32_t largest = -128;
        uint32_t sum = 0;
        for (int32_t i = 0; i < channels; i++) {
            largest = nn_max(largest, in[i]);
        }
        for (int32_t i = 0; i < channels; i++) {
            sum += table[largest - in[i]];
        }
        for (int32_t i = 0; i < channels; i++) {
            const uint32_t e = table[largest - in[i]];
            out[i] = (int8_t)nn_min((int32_t)((256u * e + sum / 2u) / sum) - 128, 127);
        }
        in += channels;
        out += channels;
    }
}

#endif
