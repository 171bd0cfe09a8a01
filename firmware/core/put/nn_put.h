/* nn_put.h - requantize and store the outputs of one tile, channel by channel.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef NN_PUT_H
#define NN_PUT_H

#include "../nn_assert.h"
#include "../../nn_kernels.h"
#include "../walk/nn_walk.h"

/* What is left of a tile: the next channel's output in the first column, its M and B, its residual. */
typedef struct {
    int8_t *out;
    const nn_channel *channels;
    const nn_channel *channels_end;
    const int8_t *residual; /* not read without a residual */
    int32_t residual_multiplier;
    int32_t residual_offset; /* 2^15 - zero point * multiplier */
} nn_target;

/* Store the next channel of a tile: column p's output, requantized from acc[p], out_c bytes after the one
 * before. Returns whether another channel is left. tile: literal 1 .. NN_TILE_MAX. has_residual: whether to
 * add the residual, laid out as the output. */
NN_INLINE int nn_put(const nn_requant *r, int32_t tile, int32_t out_c, int has_residual,
                     const int32_t acc[NN_TILE_MAX], nn_target *target);

#if NN_SCHEDULED
/* Do nn_put's work if there is code for the arguments; returns whether it did, and in *another what nn_put
 * returns. */
NN_INLINE int nn_put_asm(const nn_requant *r, int32_t tile, int32_t out_c, int has_residual,
                         const int32_t acc[NN_TILE_MAX], nn_target *target, int *another);

#include "nn_put_asm.h"
#endif

NN_INLINE int nn_put(const nn_requant *r, int32_t tile, int32_t out_c, int has_residual,
                     const int32_t acc[NN_TILE_MAX], nn_target *target)
{
#if NN_SCHEDULED
    int another;
    if (nn_put_asm(r, tile, out_c, has_residual, acc, target, &another)) {
        return another;
    }
#endif
    const nn_channel channel = *target->channels++;
    int8_t *const out = target->out++;
    const int8_t *const residual = has_residual ? target->residual++ : NULL;
    const int32_t multiplier = target->residual_multiplier;
    const int32_t offset = target->residual_offset;
#define NN_COLUMN(p)                                                                                  \
    {                                                                                                 \
        int32_t t = nn_smmlar(nn_shift_left(acc[p], r->pre_shift), channel.multiplier, channel.bias); \
        t += has_residual ? (offset + residual[(p)*out_c] * multiplier) >> 16 : 0;                    \
        out[(p)*out_c] = nn_shift_clamp(t, r->fraction_bits, r->act_min, r->act_max);                 \
    }
    NN_EACH_COLUMN(tile, NN_COLUMN);
#undef NN_COLUMN
    return target->channels != target->channels_end;
}

#endif
