/* nn_dense_conv.h - convolution with dense weights.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * out = requantize(convolution of in with weights), docs/integer-contract.md. tile is the most columns
 * computed at once, 3 the fastest on Cortex-M4 and M7; a width it does not divide ends in smaller tiles.
 * A layer whose map is joined of parts calls nn_dense_conv_row, and nn_patch_put_part for the rows before it.
 *
 * s:             nn_window_shape; literal; any kernel, stride and padding
 * r:             nn_requant; literal
 * l:             nn_requant_level; tables of out_c channels
 * tile:          int32; literal; 1 .. min(NN_DENSE_TILE_MAX, out_w)
 * weights:       int8[out_c * round_up(kernel_h * kernel_w * c, 4)]; read; align 4; "Dense weights" of
 *                docs/format.md
 * in:            int8[in_h * in_w * in_c]; read
 * residual:      int8[out_h * out_w * out_c]; read; or a literal NULL; added before the clamp
 * out:           int8[out_h * out_w * out_c]; written
 * scratch:       int16[scratch_bytes / 2]; written; align 8; overlaps nothing
 * c:             in_c + max(stride_w * kernel_h * in_c % 2, (stride_h < kernel_h) * (stride_h * in_c % 2))
 * scratch_bytes: round_up(2 * (((out_w - 1) * stride_w + kernel_w) * kernel_h * c + (stride_h < kernel_h) *
 *                (out_h - 1) * stride_h * c + 4), 8)
 * aliasing:      in is read before each out_w * out_c of out, from max(0, y * stride_h - pad_top +
 *                max(kernel_h - stride_h, 0)) * in_w * in_c
 * aliasing:      residual is read before each 1 of out, from y, apart out_w * out_c
 * fails:         never
 */
#ifndef NN_DENSE_CONV_H
#define NN_DENSE_CONV_H

#include "../../core/nn_arith.h"
#include "../../core/dot/nn_dot.h"
#include "../../core/nn_patch.h"

/* The most output columns nn_dense_conv computes at once. */
#define NN_DENSE_TILE_MAX 3

/* Channels of the patch buffer: in_c, or one more where an odd number would move a patch off a word. */
NN_INLINE int32_t nn_dense_channels(const nn_window_shape *s)
{
    const int32_t odd_column = s->stride_w * s->kernel_h * s->in_c & 1;
    const int32_t odd_row = s->stride_h < s->kernel_h ? s->stride_h * s->in_c & 1 : 0;
    return s->in_c + (odd_column | odd_row);
}

NN_INLINE void nn_dense_conv(const nn_window_shape *s, const nn_requant *r, const nn_requant_level *l,
                             int32_t tile, const int8_t *weights, const int8_t *in, const int8_t *residual,
                             int8_t *out, int16_t *scratch);

#include "nn_dense_conv_portable.h"

#endif
