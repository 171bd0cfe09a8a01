/* nn_expand_dsp.h - contract in nn_expand.h. Four elements at a time: the zero point goes for free.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_EXPAND_DSP_H
#define NN_EXPAND_DSP_H

#include "nn_expand.h"

/* Widen the four elements of quad into out[0 .. 3]; offset: -zero_point in both halves. */
NN_INLINE void nn_expand_quad(uint32_t quad, uint32_t offset, int16_t *out)
{
    const uint32_t even = nn_sxtab16(offset, quad);
    const uint32_t odd = nn_sxtab16_ror8(offset, quad);
    nn_store_pair(out, nn_pack_low(even, odd));
    nn_store_pair(out + 2, nn_pack_high(even, odd));
}

NN_INLINE void nn_expand(const int8_t *in, int32_t count, int32_t zero_point, int16_t *out)
{
    const uint32_t low = (uint32_t)-zero_point & 0xFFFFu;
    const uint32_t offset = low | (low << 16);
    const int32_t by_8 = count & ~7;
    const int32_t by_4 = count & ~3;
    NN_KEEP_LOOP
    for (int32_t i = 0; i < by_8; i += 8) {
        const uint32_t first = nn_load_quad(in + i);
        const uint32_t second = nn_load_quad(in + i + 4);
        nn_expand_quad(first, offset, out + i);
        nn_expand_quad(second, offset, out + i + 4);
    }
    if (by_4 > by_8) {
        nn_expand_quad(nn_load_quad(in + by_8), offset, out + by_8);
    }
    for (int32_t i = by_4; i < count; i++) {
        out[i] = (int16_t)(in[i] - zero_point);
    }
}

NN_INLINE void nn_expand_quads(const int8_t *in, int32_t count, int32_t zero_point, int16_t *out)
{
    const uint32_t low = (uint32_t)-zero_point & 0xFFFFu;
    const uint32_t offset = low | (low << 16);
    const int32_t by_4 = count & ~3;
    for (int32_t i = 0; i < by_4; i += 4) {
        const uint32_t quad = nn_load_quad(in + i);
        nn_store_pair(out + i, nn_sxtab16(offset, quad));
        nn_store_pair(out + i + 2, nn_sxtab16_ror8(offset, quad));
    }
    if (by_4 < count) {
        nn_expand_column(in + by_4, 1, count - by_4, zero_point, out + by_4);
    }
}

NN_INLINE int32_t nn_sum(const int16_t *in, int32_t count)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < count; i += 4) {
        sum = nn_smlad(nn_load_pair(in + i), 0x10001u, sum);
        sum = nn_smlad(nn_load_pair(in + i + 2), 0x10001u, sum);
    }
    return sum;
}

NN_INLINE void nn_fill_zero(int16_t *out, int32_t count)
{
    const int32_t by_2 = count & ~1;
    for (int32_t i = 0; i < by_2; i += 2) {
        nn_store_pair(out + i, 0);
    }
    if (by_2 < count) {
        out[by_2] = 0;
    }
}

#endif
