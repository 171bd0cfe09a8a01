/* nn_softmax_portable.h - contract in nn_softmax.h. Four at a time: 19 instructions a channel where a loop of
 * single ones takes 26.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_SOFTMAX_PORTABLE_H
#define NN_SOFTMAX_PORTABLE_H

#include "nn_softmax.h"

/* The largest of count elements, at least one. */
NN_INLINE int32_t nn_largest(const int8_t *in, int32_t count)
{
    const int32_t by_4 = count & ~3;
    int32_t largest = in[count - 1];
    if (by_4 > 0) {
        uint32_t most = nn_load_quad(in);
        for (int32_t i = 4; i < by_4; i += 4) {
            most = nn_max_quad(most, nn_load_quad(in + i));
        }
        largest = nn_max(largest, nn_max((int8_t)most, (int8_t)(most >> 8)));
        largest = nn_max(largest, nn_max((int8_t)(most >> 16), (int8_t)(most >> 24)));
    }
    for (int32_t i = by_4; i < count; i++) {
        largest = nn_max(largest, in[i]);
    }
    return largest;
}

NN_INLINE void nn_softmax(int32_t positions, int32_t channels, uint32_t gain, const uint16_t *table,
                          const int8_t *in, int8_t *out)
{
    const int32_t by_4 = channels & ~3;
#define NN_SOFTMAX_OUT(i) \
    out[i] = (int8_t)(nn_min((int32_t)((gain * table[largest - in[i]] + half) / sum), 255) - 128);
    for (int32_t position = 0; position < positions; position++) {
        const int32_t largest = nn_largest(in, channels);
        uint32_t sum = 0;
        for (int32_t i = 0; i < by_4; i += 4) {
            sum += table[largest - in[i]];
            sum += table[largest - in[i + 1]];
            sum += table[largest - in[i + 2]];
            sum += table[largest - in[i + 3]];
        }
        for (int32_t i = by_4; i < channels; i++) {
            sum += table[largest - in[i]];
        }
        const uint32_t half = sum / 2u;
        for (int32_t i = 0; i < by_4; i += 4) {
            NN_SOFTMAX_OUT(i)
            NN_SOFTMAX_OUT(i + 1)
            NN_SOFTMAX_OUT(i + 2)
            NN_SOFTMAX_OUT(i + 3)
        }
        for (int32_t i = by_4; i < channels; i++) {
            NN_SOFTMAX_OUT(i)
        }
        in += channels;
        out += channels;
    }
#undef NN_SOFTMAX_OUT
}

#endif
