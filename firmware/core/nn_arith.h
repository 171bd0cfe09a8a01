/* nn_arith.h - the arithmetic of docs/integer-contract.md, once for all kernels.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Right shifts of negative values are arithmetic, as gcc and clang define them.
 */
#ifndef NN_ARITH_H
#define NN_ARITH_H

#include "nn_layer.h"
#include "simd/nn_simd.h"

/* M and B of one output channel at one level. */
typedef struct {
    int32_t multiplier;
    int32_t bias;
} nn_channel;

NN_INLINE int32_t nn_min(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

NN_INLINE int32_t nn_max(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* value rounded up to a multiple of step; value >= 0, step > 0. */
NN_INLINE int32_t nn_round_up(int32_t value, int32_t step)
{
    return (value + step - 1) / step * step;
}

/* value * 2^shift without the undefined behaviour of shifting a negative value; must fit int32. */
NN_INLINE int32_t nn_shift_left(int32_t value, int32_t shift)
{
    return (int32_t)((uint32_t)value << shift);
}

/* clamp(t >> shift, act_min, act_max), shift 0..22; one instruction for the whole int8 range. */
NN_INLINE int8_t nn_shift_clamp(int32_t t, int32_t shift, int32_t act_min, int32_t act_max)
{
    int32_t y = nn_ssat8_asr(t, shift);
    if (act_min > -128) {
        y = nn_max(y, act_min);
    }
    if (act_max < 127) {
        y = nn_min(y, act_max);
    }
    return (int8_t)y;
}

/* M and B of output channel oc. */
NN_INLINE nn_channel nn_channel_at(const nn_requant *r, const nn_requant_level *l, int32_t oc)
{
    nn_channel channel;
    channel.multiplier = nn_shift_left(l->multiplier[oc], r->multiplier_shift);
    channel.bias = l->bias[oc];
    if (l->bias_delta != NULL) {
        channel.bias += nn_shift_left(l->bias_delta[oc], r->bias_delta_shift);
    }
    return channel;
}

/* M and B of output channels 0 .. out_c - 1. */
NN_INLINE void nn_channels(const nn_requant *r, const nn_requant_level *l, int32_t out_c,
                           nn_channel *channels)
{
    NN_KEEP_LOOP
    for (int32_t oc = 0; oc < out_c; oc++) {
        channels[oc] = nn_channel_at(r, l, oc);
    }
}

/* Accumulator to output. residual points to the fused second input of this output, or is NULL. */
NN_INLINE int8_t nn_requantize(const nn_requant *r, const nn_requant_level *l, nn_channel channel,
                               int32_t acc, const int8_t *residual)
{
    int32_t t = nn_smmlar(nn_shift_left(acc, r->pre_shift), channel.multiplier, channel.bias);
    if (residual != NULL) {
        const int32_t offset = (1 << 15) - r->residual_zero_point * l->residual_multiplier;
        t += (offset + *residual * l->residual_multiplier) >> 16;
    }
    return nn_shift_clamp(t, r->fraction_bits, r->act_min, r->act_max);
}

#endif
