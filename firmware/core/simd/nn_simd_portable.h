/* nn_simd_portable.h - nn_simd.h in C. Little-endian, like every Cortex-M.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_SIMD_PORTABLE_H
#define NN_SIMD_PORTABLE_H

#include "nn_simd.h"

#define NN_KEEP_LOOP
#define NN_OPAQUE(x) (x)

NN_INLINE int32_t nn_low_half(uint32_t pair)
{
    return (int16_t)(uint16_t)(pair & 0xFFFFu);
}

NN_INLINE int32_t nn_high_half(uint32_t pair)
{
    return (int16_t)(uint16_t)(pair >> 16);
}

NN_INLINE int32_t nn_byte(uint32_t quad, int32_t index)
{
    return (int8_t)(uint8_t)((quad >> (8 * index)) & 0xFFu);
}

NN_INLINE uint32_t nn_pair(int32_t low, int32_t high)
{
    return ((uint32_t)low & 0xFFFFu) | ((uint32_t)high << 16);
}

NN_INLINE int32_t nn_smlad(uint32_t x, uint32_t y, int32_t acc)
{
    return acc + nn_low_half(x) * nn_low_half(y) + nn_high_half(x) * nn_high_half(y);
}

NN_INLINE int32_t nn_smlabb(uint32_t x, uint32_t y, int32_t acc)
{
    return acc + nn_low_half(x) * nn_low_half(y);
}

NN_INLINE int32_t nn_smlatt(uint32_t x, uint32_t y, int32_t acc)
{
    return acc + nn_high_half(x) * nn_high_half(y);
}

NN_INLINE int32_t nn_smlabt(uint32_t x, uint32_t y, int32_t acc)
{
    return acc + nn_low_half(x) * nn_high_half(y);
}

NN_INLINE int32_t nn_smlatb(uint32_t x, uint32_t y, int32_t acc)
{
    return acc + nn_high_half(x) * nn_low_half(y);
}

NN_INLINE uint32_t nn_sxtb16(uint32_t q)
{
    return nn_pair(nn_byte(q, 0), nn_byte(q, 2));
}

NN_INLINE uint32_t nn_sxtb16_ror8(uint32_t q)
{
    return nn_pair(nn_byte(q, 1), nn_byte(q, 3));
}

NN_INLINE uint32_t nn_sxtab16(uint32_t base, uint32_t q)
{
    return nn_pair(nn_low_half(base) + nn_byte(q, 0), nn_high_half(base) + nn_byte(q, 2));
}

NN_INLINE uint32_t nn_sxtab16_ror8(uint32_t base, uint32_t q)
{
    return nn_pair(nn_low_half(base) + nn_byte(q, 1), nn_high_half(base) + nn_byte(q, 3));
}

NN_INLINE uint32_t nn_pack_low(uint32_t a, uint32_t b)
{
    return (a & 0xFFFFu) | (b << 16);
}

NN_INLINE uint32_t nn_pack_high(uint32_t a, uint32_t b)
{
    return (a >> 16) | (b & 0xFFFF0000u);
}

NN_INLINE int32_t nn_smmlar(int32_t a, int32_t b, int32_t acc)
{
    return acc + (int32_t)(((int64_t)a * b + ((int64_t)1 << 31)) >> 32);
}

NN_INLINE int32_t nn_ssat8_asr(int32_t x, int32_t n)
{
    const int32_t y = x >> n;
    return y < -128 ? -128 : y > 127 ? 127 : y;
}

NN_INLINE uint32_t nn_max_quad(uint32_t a, uint32_t b)
{
    uint32_t result = 0;
    for (int32_t i = 0; i < 4; i++) {
        const int32_t larger = nn_byte(a, i) > nn_byte(b, i) ? nn_byte(a, i) : nn_byte(b, i);
        result |= ((uint32_t)larger & 0xFFu) << (8 * i);
    }
    return result;
}

#endif
