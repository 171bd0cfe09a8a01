/* nn_normalize.h - sets of elements divided by the root of the sum of their squares.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A set is positions positions in memory order with channels channels of each: there are blocks * groups of
 * them. Of its n = positions * channels distances x from in_zero, S the sum, Q the sum of the squares: with
 * center d = n * x - S and D = (n * Q - S * S) * 2^8 + E, else d = x and D = Q * 2^8 + E; E = table[2] <<
 * table[3]. D is
 * moved by 2 * e bits into 2^30 .. 2^32 - 1, r its root rounded down, f = table[0] / r,
 * a = 25 + e - table[1], and t = ((d << a) * (f << 15) + 2^31) >> 32, d >> -a where a < 0. Then
 * out = clamp((t + out_zero * 2^8 + 2^7) >> 8); out_zero where D is 0.
 *
 * blocks:    int32; literal; 1 .. 2^31 - 1
 * positions: int32; literal; 1 .. 2^18
 * groups:    int32; literal; 1 .. 2^16 - 1
 * channels:  int32; literal; 1 .. 2^16 - 1
 * center:    int32; literal; 0 .. 1
 * in_zero:   int32; literal; -128 .. 127
 * out_zero:  int32; literal; -128 .. 127
 * bytes:     blocks * positions * groups * channels
 * table:     int32[4]; read; mantissa of 31 bits and exponent, 7 to 31, of what keeps d << a an int32;
 *            mantissa and shift, 0 to 30, of E
 * in:        int8[bytes]; read
 * out:       int8[bytes]; written
 * aliasing:  in is read before each 1 of out, from y, apart bytes
 * fails:     never
 */
#ifndef NN_NORMALIZE_H
#define NN_NORMALIZE_H

#include "../../core/nn_arith.h"

NN_INLINE void nn_normalize(int32_t blocks, int32_t positions, int32_t groups, int32_t channels,
                            int32_t center, int32_t in_zero, int32_t out_zero, const int32_t *table,
                            const int8_t *in, int8_t *out);

#include "nn_normalize_portable.h"

#endif
