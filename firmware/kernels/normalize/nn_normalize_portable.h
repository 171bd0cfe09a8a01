/* nn_normalize_portable.h - contract in nn_normalize.h. A set is read twice; its root costs some 200
 * instructions and one division.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_NORMALIZE_PORTABLE_H
#define NN_NORMALIZE_PORTABLE_H

#include "nn_normalize.h"

/* The root of value, rounded down, bit by bit. */
NN_INLINE uint32_t nn_root(uint32_t value)
{
    uint32_t root = 0;
    NN_KEEP_LOOP
    for (uint32_t bit = 1u << 30; bit != 0; bit >>= 2) {
        if (value >= root + bit) {
            value -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return root;
}

/* f << 15 of a set whose D is power; adds e to *shift. */
NN_INLINE int32_t nn_reciprocal_root(uint64_t power, int32_t mantissa, int32_t *shift)
{
    NN_KEEP_LOOP
    while (power >> 32 != 0) {
        power >>= 2;
        *shift -= 1;
    }
    uint32_t moved = (uint32_t)power;
    if (moved == 0) {
        return 0;
    }
    NN_KEEP_LOOP
    while (moved >> 30 == 0) {
        moved <<= 2;
        *shift += 1;
    }
    return (int32_t)((uint32_t)mantissa / nn_root(moved) << 15);
}

NN_INLINE void nn_normalize(int32_t blocks, int32_t positions, int32_t groups, int32_t channels,
                            int32_t center, int32_t in_zero, int32_t out_zero, const int32_t *table,
                            const int8_t *in, int8_t *out)
{
    const int32_t row = groups * channels;
    const int32_t scale = center ? positions * channels : 1;
    const int32_t bias = out_zero * 256 + 128;
    for (int32_t block = 0; block < blocks; block++) {
        for (int32_t group = 0; group < groups; group++) {
            const int32_t first = block * positions * row + group * channels;
            int32_t sum = 0;
            uint64_t squares = 0;
            for (int32_t position = 0; position < positions; position++) {
                const int8_t *const from = in + first + position * row;
                uint32_t part = 0;
                for (int32_t c = 0; c < channels; c++) {
                    const int32_t x = from[c] - in_zero;
                    sum += x;
                    part += (uint32_t)(x * x);
                }
                squares += part;
            }
            uint64_t power = squares;
            int32_t mean = 0;
            if (center) {
                power = squares * (uint32_t)scale - (uint64_t)((int64_t)sum * sum);
                mean = sum;
            }
            power = (power << 8) + ((uint64_t)(uint32_t)table[2] << table[3]);
            int32_t shift = 25 - table[1];
            const int32_t factor = nn_reciprocal_root(power, table[0], &shift);
            const int32_t left = nn_max(shift, 0);
            const int32_t right = nn_max(-shift, 0);
            mean += scale * in_zero;
            for (int32_t position = 0; position < positions; position++) {
                const int32_t at = first + position * row;
                for (int32_t c = 0; c < channels; c++) {
                    const int32_t distance = in[at + c] * scale - mean;
                    const int32_t t = nn_smmlar(nn_shift_left(distance >> right, left), factor, bias);
                    out[at + c] = nn_shift_clamp(t, 8, -128, 127);
                }
            }
        }
    }
}

#endif
